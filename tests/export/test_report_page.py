"""The report in a real browser: from a file, without a request, readable on a phone, light and dark.

`REPORT_SHOTS=DIR` keeps pictures of it, `REPORT=FILE` looks at another one.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from export_samples import Sample, silent
from test_card import LEARNED

from export import report, report_facts

if TYPE_CHECKING:
    from browser import OpenTab
    from playwright.sync_api import Browser

SHAPES: dict[str, dict[str, Any]] = {
    "phone": {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2},
    "desktop": {"viewport": {"width": 1280, "height": 860}},
}


@pytest.fixture(scope="module")
def page(built: Path, sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With every section, a learning curve too."""
    if named := os.environ.get("REPORT"):
        return Path(named)
    plan, prepared, fitted = sample
    plan = dataclasses.replace(plan, output=built, command=f"edge-export build --model small --output {'very-long-name/' * 12}")
    course = report_facts.Course(fitted, {"third": "finetune", "third.0": "finetune"}, None, 12.3)
    facts = report_facts.gather(plan, prepared, course, silent)
    path = tmp_path_factory.mktemp("report") / "small.report.html"
    report.write(dataclasses.replace(facts, learned=LEARNED), path)
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("shape", SHAPES)
def test_everyone_can_read_it(open_tab: OpenTab, page: Path, shape: str, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core: pip install axe-playwright-python")
    # axe-core is a script, which the page's policy forbids
    tab, asked = open_tab(**SHAPES[shape], color_scheme=scheme, bypass_csp=True), list[str]()
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(page.as_uri())
    widths = tab.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert widths[0] <= widths[1], f"the page is {widths[0]} px wide, the screen {widths[1]}: it scrolls sideways"
    assert tab.locator("section").count() >= 8 and tab.locator("svg.chart").count() >= 1
    loaded = tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert loaded, "a picture is not shown"
    if folder := os.environ.get("REPORT_SHOTS"):
        tab.screenshot(path=str(Path(folder) / f"report-{shape}-{scheme}.png"), full_page=True)
    found = axe.Axe().run(tab).response["violations"]
    assert not found, [f"{one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes']]}" for one in found]
    assert {url for url in asked if not url.startswith("data:")} == {page.as_uri()}


def test_policy_is_in_force(chromium: Browser, page: Path) -> None:
    """It lets nothing run and nothing in, whatever the name of a label may hold."""
    tab, said = chromium.new_page(), list[str]()
    tab.on("console", lambda message: said.append(message.text))
    tab.goto(page.as_uri())
    tab.evaluate("""() => {
        const script = document.createElement('script'), image = new Image();
        script.textContent = 'document.title = "it ran"';
        image.src = 'http://127.0.0.1:9/';
        document.body.append(script, image);
    }""")
    assert tab.title() == "small, 4 labels: report" or os.environ.get("REPORT")
    assert sum("Content Security Policy" in line for line in said) == 2, said
    tab.close()
