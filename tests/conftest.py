"""What every test gets: no state outside of tmp, and small photos that are the same on every machine; the default artifact, opened once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from broker import broker, person
from browser import chromium, open_tab, tab
from on_device import ARTIFACT, PHOTOS
from PIL import Image

from edge_agent import admission
from edge_agent.agent import EdgeAgent
from edge_agent.artifact import Artifact
from edge_agent.results import Prediction
from edge_agent.runtime import Backbone
from edge_agent.settings import Settings

# The default finds the same examples on every run; `--hypothesis-profile=search` looks for new ones.
hypothesis.settings.register_profile("same", deadline=None, database=None, derandomize=True, max_examples=60)
hypothesis.settings.register_profile("search", deadline=None, database=None, max_examples=1000)
hypothesis.settings.load_profile("same")

TRIED: set[tuple[str, bool]] = set()
Photo = Callable[..., Image.Image]
__all__ = ["broker", "chromium", "open_tab", "person", "tab"]  # fixtures for every test


@pytest.fixture(autouse=True)
def _no_state_outside_of_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("EDGE_AGENT_") or name == "STATE_DIRECTORY":
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))


@pytest.fixture(autouse=True)
def _one_trial_for_each_artifact(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a fresh state, and with it every agent would try the same artifact again, 0.3 s each; `real_trial` is without it."""
    if "real_trial" in request.keywords:
        return
    real = admission._try

    def once(artifact: Artifact, settings: Settings, with_golden: bool) -> None:
        key = (artifact.digest, with_golden)
        if key not in TRIED:
            real(artifact, settings, with_golden)
            TRIED.add(key)

    monkeypatch.setattr(admission, "_try", once)


@pytest.fixture(scope="session")
def photo() -> Photo:
    """`photo(seed=0, size=(48, 36))`: an RGB picture with a gradient, a disc and some noise."""

    def make(seed: int = 0, size: tuple[int, int] = (48, 36)) -> Image.Image:
        rng = np.random.default_rng(seed)
        width, height = size
        y, x = np.mgrid[0:height, 0:width]
        pixels = rng.uniform(0, 255, 3) * (x / width)[..., None] + rng.uniform(0, 255, 3) * (y / height)[..., None]
        disc = np.hypot(x - rng.uniform(0, width), y - rng.uniform(0, height)) < min(size) / 3
        pixels[disc] = rng.uniform(0, 255, 3)
        return Image.fromarray(np.clip(pixels + rng.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8))

    return make


@pytest.fixture(scope="session")
def default_artifact() -> Artifact:
    """`artifacts/default`, opened once."""
    return Artifact.open(ARTIFACT)


@pytest.fixture(scope="session")
def factory(tmp_path_factory: pytest.TempPathFactory) -> EdgeAgent:
    """An agent without a state, for those who only look; nobody corrects it."""
    return EdgeAgent.open(ARTIFACT, tmp_path_factory.mktemp("factory") / "state", settings=Settings())


@pytest.fixture(scope="session")
def seen(factory: EdgeAgent) -> tuple[Prediction, ...]:
    """What the factory says of the field photos: all of it is wrong."""
    return tuple(factory.predict(path) for path in PHOTOS)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[EdgeAgent]:
    """An agent with a state of its own."""
    opened = EdgeAgent.open(ARTIFACT, tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def shared_backbone(factory: EdgeAgent) -> Iterator[None]:
    """Agents of one module look through one session: it is frozen, and starting it takes longer than most tests."""
    real = Backbone.open.__func__  # type: ignore[attr-defined]

    def shared(kind: type[Backbone], artifact: Artifact, provider: str, threads: int) -> Backbone:
        same = artifact.digest == factory.artifact.digest and (provider, threads) == ("auto", 0)
        return factory._backbone if same else real(kind, artifact, provider, threads)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Backbone, "open", classmethod(shared))
        yield
