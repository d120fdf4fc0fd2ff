"""Everyone can use the page: axe-core finds nothing, every target fits a thumb, and two labels or a thousand make no difference."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from page_visit import ASKS_EVERYTHING, PHONE, VIEWS, Camera, answer, settled, visit
from service_running import Service, running

if TYPE_CHECKING:
    from browser import OpenTab
    from playwright.sync_api import Page, Route

TARGETS = """() => [...document.querySelectorAll('button, a, summary, select, .typed, [role=option], label.file, label.check')]
    .map((node) => [node, node.getBoundingClientRect()])
    .filter(([node, box]) => box.width && box.height && getComputedStyle(node).visibility !== 'hidden' && !node.matches('.jump'))
    .filter(([node, box]) => box.height < 43.9 || box.width < 43.9)
    .map(([node, box]) => `${node.tagName} ${node.className} ${node.textContent.trim()} ${box.width}x${box.height}`)"""


@pytest.fixture(scope="module")
def service(chromium: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """With something in every view: pictures that wait, corrections, one taken back."""
    with running(tmp_path_factory.mktemp("access") / "state", **ASKS_EVERYTHING) as started:
        camera = Camera()
        numbers = []
        for one in camera.queue(started, 4):
            numbers.append(started.say("POST", f"/v1/queue/{one.sample_id}/label", {"label": one.truth}).json["id"])
        started.ask("POST", f"/v1/corrections/{next(filter(None, numbers))}/undo")
        camera.queue(started, 4)
        yield started


def faults(tab: Page) -> list[str]:
    """What axe-core says is wrong, by the Web Content Accessibility Guidelines and its best practices."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core: pip install axe-playwright-python")
    found = axe.Axe().run(tab).response["violations"]
    return [f"{one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes']]}" for one in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("shape", [PHONE, {"viewport": {"width": 1280, "height": 860}}], ids=["phone", "desktop"])
def test_axe_finds_nothing_in_any_view(open_tab: OpenTab, service: Service, shape: dict[str, Any], scheme: str) -> None:
    tab = visit(open_tab(**shape, color_scheme=scheme, reduced_motion="reduce"), service)
    found = {}
    for view in VIEWS:
        tab.click(f'.tabs a[href="#{view}"]')
        tab.wait_for_selector({"review": ".strip img", "photo": ".drop", "history": ".entry", "accuracy": ".chart"}[view])
        found[view] = faults(tab)
    tab.click('.tabs a[href="#review"]')
    settled(tab)
    tab.fill(".typed", "newt")
    found["typing"] = faults(tab)
    tab.click("#health")
    found["health"] = faults(tab)
    tab.click("#open-settings")
    found["settings"] = faults(tab)
    assert not {view: said for view, said in found.items() if said}


def test_axe_finds_nothing_wrong_with_asking_for_the_token(tab: Page, service: Service) -> None:
    tab.goto(f"http://127.0.0.1:{service.port}/")
    tab.wait_for_selector("#token-dialog[open]")
    assert faults(tab) == []


def test_every_target_fits_a_thumb_and_nothing_is_wider_than_the_phone(open_tab: OpenTab, service: Service) -> None:
    for width in (320, 390):
        tab = visit(open_tab(**{**PHONE, "viewport": {"width": width, "height": 700}}), service)
        for view in VIEWS:
            tab.click(f'.tabs a[href="#{view}"]')
            tab.wait_for_selector({"review": ".strip img", "photo": ".drop", "history": ".entry", "accuracy": ".chart"}[view])
            assert tab.evaluate(TARGETS) == [], (width, view)
            assert tab.evaluate("document.documentElement.scrollWidth") <= width, view
        tab.click("#open-settings")
        assert tab.evaluate(TARGETS) == []


@pytest.mark.parametrize("count", [2, 1000])
def test_two_labels_and_a_thousand(open_tab: OpenTab, service: Service, count: int) -> None:
    """The service's own answers, with a list of labels of another length in them; the answer that would be sent is looked at."""
    labels = [f"kind {number}, of a long-named family" if number % 7 else f"Käfer {number}" for number in range(count)]
    best = [{"label": label, "probability": 0.5 / (place + 1)} for place, label in enumerate(labels[:5])]
    sent: list[Any] = []

    def changed(route: Route) -> None:
        facts = route.fetch().json()
        if "/v1/labels" in route.request.url:
            facts = {"labels": labels, "added": [], "spare_classes": 0 if count == 2 else 16}
        else:
            facts["waiting"] = [{**one, "top": best, "label": best[0]["label"], "probability": 0.5} for one in facts["waiting"]]
        route.fulfill(json=facts)

    def taken(route: Route) -> None:
        sent.append(json.loads(route.request.post_data or ""))
        route.abort()

    tab = open_tab(**PHONE)
    for path in ("**/v1/labels", "**/v1/queue?*"):
        tab.route(path, changed)
    tab.route("**/v1/queue/*/label", taken)
    visit(tab, service)
    settled(tab)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert tab.evaluate(TARGETS) == []
    if count == 2:
        assert tab.locator("#view-review .choice").count() == 2
        assert not tab.is_visible("#view-review .typed")  # both have a button, and there is no room for a third
        answer(tab, labels[1])
        wanted = labels[1]
    else:
        assert tab.locator("#view-review .choice").count() == 5
        tab.fill("#view-review .typed", "kaf")  # an accent need not be typed
        assert tab.locator(".option").first.inner_text() == "Käfer 0"
        assert "more: go on typing" in tab.inner_text(".rest")
        tab.fill("#view-review .typed", "kind 99")
        assert [text for text in tab.locator(".option:not(.new)").all_inner_texts() if not text.startswith("kind 99")] == []
        assert tab.evaluate(TARGETS) == []
        tab.locator(".option").nth(1).tap()
        wanted = "kind 990, of a long-named family"
    tab.wait_for_selector(".notice")
    assert sent == [{"label": wanted}]
