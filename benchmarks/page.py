"""Label-to-learned on the review page: from the tap to the frame that shows the verdict, in a real Chromium against a real service.

    python benchmarks/page.py --answers 60

Each answer is another picture: the twelve field photos that the default artifact gets wrong, mirrored, turned and in ever new light. What
the page asks of the service is asked over the loopback; a network adds its round trip.
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

from learning_tables import markdown_table, with_tables
from PIL import Image, ImageEnhance

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # the browser's fixture knows where a browser is, and how it is started
from browser import FLAGS, executable, missing  # noqa: E402

TOKEN = "a-token-of-the-benchmark"
PHOTOS = sorted((ROOT / "artifacts" / "field").glob("*/*.jpg"))
ASKS_EVERYTHING = {"EDGE_AGENT_QUEUE_WORTH": "0", "EDGE_AGENT_QUEUE_ALIKE": "1", "EDGE_AGENT_QUEUE_REPEAT": "1"}
SEEN_ANEW = (None, Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270, Image.Transpose.ROTATE_180)
PAGE = ROOT / "docs/page.md"
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--answers", type=int, default=60)
    parser.add_argument("--write", action="store_true", help="the table into docs/page.md")
    options = parser.parse_args()
    answers = options.answers
    if fault := missing():
        sys.exit(fault)
    with tempfile.TemporaryDirectory() as state:
        process = serve(Path(state))
        try:
            assert process.stderr is not None
            port = int(process.stderr.readline().rstrip().rstrip("/").rpartition(":")[2])
            truths = collect(port, answers)
            table = report(*answered(port, truths))
        finally:
            process.terminate()
            process.wait()
    if options.write:
        PAGE.write_text(with_tables(PAGE.read_text("utf-8"), ("bench-page",), {"bench-page": table}), "utf-8")


def serve(state: Path) -> subprocess.Popen[str]:
    """The service on a state of its own, where every picture may wait."""
    environment = {**os.environ, "EDGE_AGENT_TOKEN": TOKEN, **ASKS_EVERYTHING}
    command = [sys.executable, "-m", "edge_agent.cli", "--artifact", str(ROOT / "artifacts" / "default"), "--state", str(state), "serve"]
    return subprocess.Popen([*command, "--port", "0"], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def collect(port: int, count: int) -> dict[str, str]:
    """Let pictures wait; their sample ids, and what they are."""
    truths = {}
    for place in range(count):
        path, turn = PHOTOS[place % len(PHOTOS)], place // len(PHOTOS)
        file, turned = io.BytesIO(), SEEN_ANEW[turn % len(SEEN_ANEW)]
        photo = Image.open(path) if turned is None else Image.open(path).transpose(turned)
        ImageEnhance.Brightness(photo).enhance(1 + 0.02 * turn).save(file, "PNG")
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


def report(times: list[float], agent_ms: list[float], verdicts: list[str]) -> str:
    """The table; printed too."""
    rows = [
        (name, *(f"{value:.0f}" for value in (statistics.median(values), statistics.quantiles(values, n=20)[-1], max(values))))
        for name, values in (("from the tap to the verdict on the screen, ms", times), ("of it in the agent, ms", agent_ms))
    ]
    taught = f"{len(times)} answers, {verdicts.count('accepted')} of them learned, {verdicts.count('refused')} refused"
    table = markdown_table((taught, "median", "p95", "max"), rows)
    print(table)
    return table


if __name__ == "__main__":
    main()
