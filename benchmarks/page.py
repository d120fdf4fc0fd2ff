"""Label-to-learned on the review page: from the tap to the frame that shows the verdict, in a real Chromium against a real service.

    python benchmarks/page.py --answers 60

Each answer is another picture: the twelve field photos that the default artifact gets wrong, in ever new light. What the page asks of the
service is asked over the loopback; a network adds its round trip.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from PIL import Image, ImageEnhance

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # the browser's fixture knows where a browser is, and how it is started
from browser import FLAGS, executable, missing  # noqa: E402

TOKEN = "a-token-of-the-benchmark"
PHOTOS = sorted((ROOT / "artifacts" / "field").glob("*/*.jpg"))
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--answers", type=int, default=60)
    answers = parser.parse_args().answers
    if fault := missing():
        sys.exit(fault)
    with tempfile.TemporaryDirectory() as state:
        process = serve(Path(state))
        try:
            assert process.stderr is not None
            port = int(process.stderr.readline().rstrip().rstrip("/").rpartition(":")[2])
            truths = collect(port, answers)
            report(*answered(port, truths))
        finally:
            process.terminate()
            process.wait()


def serve(state: Path) -> subprocess.Popen[str]:
    """The service on a state of its own, where every picture may wait."""
    environment = {**os.environ, "EDGE_AGENT_TOKEN": TOKEN, "EDGE_AGENT_QUEUE_WORTH": "0", "EDGE_AGENT_QUEUE_ALIKE": "1"}
    command = [sys.executable, "-m", "edge_agent.cli", "--artifact", str(ROOT / "artifacts" / "default"), "--state", str(state), "serve"]
    return subprocess.Popen([*command, "--port", "0"], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def collect(port: int, count: int) -> dict[str, str]:
    """Let pictures wait; their sample ids, and what they are."""
    truths = {}
    for place in range(count):
        path, light = PHOTOS[place % len(PHOTOS)], 1 + 0.01 * (place // len(PHOTOS))
        file = io.BytesIO()
        ImageEnhance.Brightness(Image.open(path)).enhance(light).save(file, "PNG")
        truths[ask(port, "/v1/predict?collect=true", file.getvalue(), "image/png")["sample_id"]] = path.parent.name
    return truths


def ask(port: int, path: str, body: bytes | None = None, kind: str = "application/json") -> Any:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def answered(port: int, truths: dict[str, str]) -> tuple[list[float], list[float], list[str]]:
    """Answer every picture on the page: times of the page, times of the agent within them, and the verdicts (ms)."""
    from playwright.sync_api import sync_playwright

    agent_ms, verdicts = [], []

    def note(response: Any) -> None:
        if response.url.endswith("/label"):
            facts = response.json()
            agent_ms.append(facts["elapsed_ms"])
            verdicts.append(facts["verdict"])

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=list(FLAGS))
        tab = browser.new_page(**PHONE)  # type: ignore[arg-type]
        tab.on("response", note)
        tab.goto(f"http://127.0.0.1:{port}/#token={TOKEN}")
        for left in range(len(truths), 0, -1):
            tab.wait_for_selector("#view-review .question:not([aria-busy])")
            tab.wait_for_timeout(300)
            first = ask(port, "/v1/queue?limit=1")["waiting"][0]["id"]
            tab.locator("#view-review :is(.choice, .chip)").filter(has_text=truths[first]).first.click()
            tab.wait_for_function(f"() => performance.getEntriesByName('label-to-learned').length === {len(truths) - left + 1}")
        times = tab.evaluate("performance.getEntriesByName('label-to-learned').map((entry) => entry.duration)")
        browser.close()
    return times, agent_ms, verdicts


def report(times: list[float], agent_ms: list[float], verdicts: list[str]) -> None:
    taught = verdicts.count("accepted")
    print(f"{len(times)} answers on the page, {taught} of them learned, {verdicts.count('refused')} refused")
    for name, values in (("label-to-learned", times), ("of it in the agent", agent_ms)):
        high = statistics.quantiles(values, n=20)[-1]
        print(f"{name:<20} median {statistics.median(values):.0f} ms, p95 {high:.0f} ms, max {max(values):.0f} ms")


if __name__ == "__main__":
    main()
