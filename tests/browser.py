"""A real browser for tests: Debian's Chromium (`CHROMIUM=FILE` names another one), driven by Playwright; nothing is downloaded."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    OpenTab = Callable[..., Page]

# A browser that asks for nothing of its own accord; the container of a test is its sandbox.
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
)  # fmt: skip
NAMES = ("chromium", "chromium-browser", "google-chrome")


def missing() -> str:
    """Why no browser can be had here, or nothing."""
    if importlib.util.find_spec("playwright") is None:
        return "no browser: pip install playwright"
    return "" if executable() is not None else "no browser: apt-get install chromium, or name one with CHROMIUM=FILE"


def executable() -> str | None:
    """The browser to start."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser with a fresh profile that goes with the module; Playwright's loop must not outlive it, others run theirs."""
    if fault := missing():
        pytest.skip(fault)
    from playwright.sync_api import sync_playwright

    home = tmp_path_factory.mktemp("browser")
    with sync_playwright() as playwright:
        options: dict[str, Any] = {"executable_path": executable(), "args": FLAGS, "env": _environment(home)}
        browser = playwright.chromium.launch(**options)
        yield browser
        browser.close()


@pytest.fixture
def open_tab(chromium: Browser) -> Iterator[OpenTab]:
    """`open_tab(locale="de-DE", viewport=…)`: a page of a context of its own, with Playwright's options of a context.

    The test fails when a script of a page raised an error or wrote one to the console, or a page broke its policy. An answer that is an
    error (401, 409) is the page's business and not the browser's.
    """
    pages, errors = list["Page"](), list[str]()

    def opened(**options: Any) -> Page:
        page = chromium.new_page(**options)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if _is_fault(message.type, message.text) else None)
        pages.append(page)
        return page

    yield opened
    for page in pages:
        page.close()
    assert not errors, "a page reported errors:\n" + "\n".join(errors)


@pytest.fixture
def tab(open_tab: OpenTab) -> Page:
    """A new page; see `open_tab`."""
    return open_tab()


def _is_fault(kind: str, text: str) -> bool:
    return kind == "error" and not text.startswith("Failed to load resource")


def _environment(home: Path) -> dict[str, str | float | bool]:
    """The machine's, without its proxies: the browser talks to this machine alone."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {**kept, "HOME": str(home)}
