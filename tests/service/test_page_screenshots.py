"""The screenshots of `docs/`, made again; `make screenshots` keeps them (`SCREENSHOTS=docs`)."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from on_device import PHOTOS, ROOT, TRUTHS
from page_visit import ASKS_EVERYTHING, PHONE, answer, settled, visit
from PIL import Image, ImageEnhance
from service_running import Service, running

if TYPE_CHECKING:
    from browser import OpenTab
    from playwright.sync_api import Page

DESKTOP = {"viewport": {"width": 1280, "height": 860}}
# name: what the browser is like, the view, and how many pictures are answered first
SHOTS: dict[str, tuple[dict[str, Any], str]] = {
    "page-phone.png": ({**PHONE, "locale": "en-GB"}, "review"),
    "page-phone-dark-de.png": ({**PHONE, "locale": "de-DE", "color_scheme": "dark"}, "review"),
    "page-history.png": ({**PHONE, "locale": "en-GB"}, "history"),
    "page-desktop.png": ({**DESKTOP, "locale": "en-GB"}, "review"),
    "page-accuracy-de.png": ({**DESKTOP, "locale": "de-DE", "color_scheme": "dark"}, "accuracy"),
}


@dataclass(frozen=True)
class Scene:
    """A service with pictures that wait, and what is on them: by their sample ids."""

    service: Service
    truths: dict[str, str]


@pytest.fixture(scope="module")
def scene(chromium: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Six field photos were taught, then seen again in other light, which was answered too; the other six wait."""
    with running(tmp_path_factory.mktemp("shots") / "state", **ASKS_EVERYTHING) as started:
        truths = {}
        for place in range(30):
            path, truth = PHOTOS[place % 6], TRUTHS[place % 6]
            file = io.BytesIO()
            ImageEnhance.Brightness(Image.open(path)).enhance(1 + 0.12 * (place // 6)).save(file, "PNG")
            one = started.predict(file.getvalue(), f"?collect=true&name={path.name}").json["sample_id"]
            started.say("POST", f"/v1/queue/{one}/label", {"label": truth})
        for path, truth in zip(PHOTOS[6:], TRUTHS[6:], strict=True):
            truths[started.predict(path.read_bytes(), f"?collect=true&name={path.name}").json["sample_id"]] = truth
        yield Scene(started, truths)


def told(tab: Page, scene: Scene) -> None:
    """Give the right answer to the picture that is shown; the next one comes with the verdict on it."""
    first = scene.service.ask("GET", "/v1/queue?limit=1").json["waiting"][0]["id"]
    answer(tab, scene.truths[first])
    tab.wait_for_selector("#verdict .card")
    settled(tab)


@pytest.mark.parametrize("name", SHOTS)
def test_screenshot(open_tab: OpenTab, scene: Scene, tmp_path: Path, name: str) -> None:
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path)
    options, view = SHOTS[name]
    tab = visit(open_tab(**options, reduced_motion="reduce"), scene.service, view)
    if view == "review":
        told(tab, scene)
    else:
        tab.wait_for_selector({"history": ".entry img[src]", "accuracy": ".chart"}[view])
        tab.wait_for_timeout(300)
    tab.mouse.move(0, 0)
    tab.screenshot(path=folder / name)
    with Image.open(folder / name) as picture:
        width, height = picture.size
        colours = picture.convert("RGB").getcolors(width * height)
    assert width == options["viewport"]["width"] * options.get("device_scale_factor", 1)
    assert len(colours or ()) > 50  # a picture, not a blank


def test_every_screenshot_is_shown_and_every_one_shown_is_made() -> None:
    shown = set(re.findall(r"page-[a-z-]+\.png", (ROOT / "docs" / "page.md").read_text("utf-8") + (ROOT / "README.md").read_text("utf-8")))
    assert shown == set(SHOTS)
    for name in SHOTS:
        assert (ROOT / "docs" / name).is_file()
