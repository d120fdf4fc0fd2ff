"""The review page in a real browser, against a real service: how a test gets pictures to wait, and how it opens the page."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from on_device import PHOTOS, TRUTHS
from PIL import Image, ImageEnhance
from service_running import TOKEN, Service

if TYPE_CHECKING:
    from playwright.sync_api import Page

ASKS_EVERYTHING = {"EDGE_AGENT_QUEUE_WORTH": "0", "EDGE_AGENT_QUEUE_ALIKE": "1", "EDGE_AGENT_QUEUE_REPEAT": "1"}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
VIEWS = ("review", "photo", "history", "accuracy")


@dataclass(frozen=True)
class Asked:
    """A picture that waits: its sample id, what it is, and what the model says."""

    sample_id: str
    truth: str
    guess: str


class Camera:
    """Takes ever new pictures of the twelve field photos: the same scenes in a light that no picture had before."""

    def __init__(self) -> None:
        self.taken = 0

    def take(self) -> tuple[bytes, str]:
        """One more, as a PNG file, and what is on it."""
        place, light = self.taken % len(PHOTOS), 1 + 0.01 * (self.taken // len(PHOTOS))
        self.taken += 1
        file = io.BytesIO()
        ImageEnhance.Brightness(Image.open(PHOTOS[place])).enhance(light).save(file, "PNG")
        return file.getvalue(), TRUTHS[place]

    def queue(self, service: Service, count: int) -> list[Asked]:
        """Empty the queue and let so many new pictures wait; the first one is asked first."""
        service.ask("DELETE", "/v1/queue")
        truths = {}
        for _ in range(count):
            picture, truth = self.take()
            seen = service.predict(picture, "?collect=true").json
            assert seen["queue"]["kept"], seen["queue"]
            truths[seen["sample_id"]] = truth
        waiting = service.ask("GET", "/v1/queue").json["waiting"]
        return [Asked(one["id"], truths[one["id"]], one["label"]) for one in waiting]


def visit(tab: Page, service: Service, view: str = "review") -> Page:
    """Open the page with its token and wait until it shows what there is; no picture need wait."""
    tab.goto(f"http://127.0.0.1:{service.port}/#token={TOKEN}")
    tab.wait_for_selector('.health[data-status="OK"], .health[data-status="WARNING"]')
    tab.wait_for_selector("#view-review .empty:not([hidden]), #view-review .question:not([aria-busy])", state="attached")
    if view != "review":
        tab.click(f'.tabs a[href="#{view}"]')
    return tab


def settled(tab: Page, root: str = "#view-review") -> None:
    """Wait until an answer is taken: the picture is there, and long enough for a person to have seen that it is another one."""
    tab.wait_for_selector(f"{root} .question:not([aria-busy])")
    tab.wait_for_timeout(300)


def answer(tab: Page, label: str, root: str = "#view-review") -> None:
    """Tap a label of the picture that is shown; its button is among the most probable ones or the rest."""
    settled(tab, root)
    tab.locator(f"{root} :is(.choice, .chip)").filter(has_text=label).first.click()


def corrections(service: Service) -> list[dict[str, Any]]:
    """What was taught, the newest first."""
    return list(service.ask("GET", "/v1/corrections").json["corrections"])
