"""What a health report is about: the parts of an agent, each opened when a check first needs it, and its failure remembered."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from edge_agent.admission import admit
from edge_agent.artifact import Artifact
from edge_agent.artifact_record import read_record, record_folder
from edge_agent.errors import EdgeAgentError, RuntimeUnavailable, StateError
from edge_agent.health_settings import HealthSettings
from edge_agent.journal import Journal, Opening
from edge_agent.journal_file import translated_errors
from edge_agent.journal_mark import Mark, mark_fault, read_mark
from edge_agent.journal_opening import open_as
from edge_agent.keeper import HeadKeeper, Serving
from edge_agent.ort import import_onnxruntime
from edge_agent.providers import CPU
from edge_agent.runtime import Backbone
from edge_agent.settings import Settings, default_state
from edge_agent.state_reader import open_snapshot

Part = TypeVar("Part")
_WAIT_MS = 1000


class PartFailed(Exception):
    """A part that a check needs cannot be had.

    Attributes:
        part: its name: "artifact", "runtime", "state" or "head".
        error: why.
    """

    def __init__(self, part: str, error: EdgeAgentError) -> None:
        super().__init__(part, error)
        self.part, self.error = part, error


@dataclass(frozen=True)
class Running:
    """The parts of an agent that is in use; a report on it looks at these, and at the disk with fresh eyes."""

    digest: str
    backbone: Backbone
    keeper: HeadKeeper


class Subject:
    """The agent that would be opened with these paths and settings, or the one that is running; nothing is ever written."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        state: str | os.PathLike[str] | None,
        settings: Settings,
        health: HealthSettings,
        now: Callable[[], datetime],
        running: Running | None,
        isolated: bool,
    ) -> None:
        """Name the parts; none is opened yet. `isolated`: this process may die without harm to anybody."""
        self.path, self.settings, self.health, self.now, self.running = Path(path), settings, health, now, running
        self.isolated = isolated
        self.start_s = 0.0
        self._state = None if state is None else Path(state)
        self._made: dict[str, object] = {}
        self._failed: dict[str, PartFailed] = {}

    def artifact(self) -> Artifact:
        """The artifact, every file verified."""
        return self._part("artifact", "artifact", self._admitted)

    def state(self) -> Path:
        """The state directory; it need not exist."""
        return self._state or self._state_of(self.artifact())

    def record_fault(self) -> StateError | None:
        """What is wrong with what the state remembers of artifacts, or None."""
        try:
            read_record(record_folder(self.state(), self.artifact().digest))
        except StateError as error:
            return error
        return None

    def onnxruntime(self) -> Any:
        """The module."""
        return self._part("onnxruntime", "runtime", import_onnxruntime)

    def backbone(self) -> Backbone:
        """The session."""
        artifact, settings = self.artifact(), self.settings
        if self.running:
            return self.running.backbone
        return self._part("backbone", "runtime", lambda: self._timed(lambda: Backbone.open(artifact, settings.provider, settings.threads)))

    def engine(self) -> tuple[str, str]:
        """The engine's name and why that one; it is started."""
        return self._part("engine", "runtime", lambda: self._timed(self.keeper().engine))

    def snapshot(self) -> sqlite3.Connection | None:
        """The journal as it is now, or None where there is none."""
        folder = self.state()

        def make() -> sqlite3.Connection | None:
            self._made["mark"] = read_mark(folder)  # first: see there
            return self._opening()(folder, min(self.settings.wait_ms, _WAIT_MS))

        return self._part("snapshot", "state", make)

    def loss(self) -> StateError | None:
        """What the mark says against the journal: see `journal_mark`."""
        return self.reading(lambda connection: mark_fault(cast("Mark | None", self._made.get("mark")), connection, self.state()))

    def reading(self, read: Callable[[sqlite3.Connection | None], Part]) -> Part:
        """What a function reads from the journal; damage that SQLite meets is a failure of the state."""
        connection, folder = self.snapshot(), self.state()
        try:
            with translated_errors(folder):
                return read(connection)
        except StateError as error:
            raise PartFailed("state", error) from None

    def keeper(self) -> HeadKeeper:
        """Solves and serves heads."""
        if self.running:
            return self.running.keeper
        artifact, folder = self.artifact(), self.state()

        def make() -> HeadKeeper:
            journal = Journal(folder, artifact.digest, self.settings, self.now, lambda *_: self.snapshot())
            opened = self._made.get("backbone")
            return HeadKeeper(artifact, self.settings, journal, opened.provider if isinstance(opened, Backbone) else CPU)

        return self._part("keeper", "state", make)

    def serving(self) -> Serving:
        """The head in use."""
        keeper = self.keeper()
        return self._part("serving", "state", keeper.current)

    def sound(self) -> Serving:
        """The head in use, when every number of it is finite."""
        serving = self.serving()
        head = serving.head
        arrays = (head.contexts, head.coefficients, head.added.weight, head.added.local, head.added.bias, np.array(head.exponent))
        if not all(np.isfinite(array).all() for array in arrays):
            hint = "undo the last correction, or edge-agent reset: the head is then solved again"
            raise PartFailed("head", StateError(f"head {serving.generation} holds NaN or Inf", hint))
        return serving

    def golden(self, place: int) -> NDArray[np.float32]:
        """The network's input `[1, 3, H, W]` of one golden sample, from its file."""
        from edge_agent.image import open_picture, to_tensor

        artifact = self.artifact()
        picture = open_picture(artifact.read(f"golden/{place:02}.png"), self.settings.image_limits, f"golden sample {place}")
        return to_tensor(picture, artifact.manifest.image)[None]

    def facts(self) -> dict[str, str]:
        """What was examined, as far as the checks opened it."""
        artifact, engine = self._made.get("artifact"), self._made.get("engine")
        backbone = self.running.backbone if self.running else self._made.get("backbone")
        facts = {"path": str(self.path)}
        if isinstance(artifact, Artifact):
            facts |= {"model": artifact.manifest.model.name, "artifact": artifact.digest}
        if "onnxruntime" in self._made:
            facts["onnxruntime"] = self.onnxruntime().__version__
        if isinstance(backbone, Backbone):
            facts["provider"] = backbone.provider
        return facts | ({"engine": str(engine[0])} if isinstance(engine, tuple) else {})

    def close(self) -> None:
        """Close what was opened for this report."""
        connection = self._made.pop("snapshot", None)
        if isinstance(connection, sqlite3.Connection):
            connection.close()

    def _state_of(self, artifact: Artifact) -> Path:
        return self._state or default_state(os.environ, artifact.digest)

    def _admitted(self) -> Artifact:
        """The artifact that may be used here; one that this state has not seen is tried, each time: a report writes nothing."""
        artifact = Artifact.open(self.path)
        if self.running is None or self.running.digest != artifact.digest:
            # with_golden: a check of its own compares those
            admit(artifact, self._state_of(artifact), self.settings, with_golden=False, isolated=self.isolated)
        return artifact

    def _opening(self) -> Opening:
        """A running agent has the journal open already, as its own user; a second way of opening would only disturb its locks."""
        return open_as if self.running else open_snapshot

    def _timed(self, make: Callable[[], Part]) -> Part:
        started = time.perf_counter()
        made = make()
        self.start_s += time.perf_counter() - started
        return made

    def _part(self, name: str, owner: str, make: Callable[[], Part]) -> Part:
        """Make a part once; a failure is remembered too, under the name of the check that answers for it."""
        if name in self._failed:
            raise self._failed[name]
        if name not in self._made:
            try:
                self._made[name] = make()
            except EdgeAgentError as error:
                self._failed[name] = PartFailed("runtime" if isinstance(error, RuntimeUnavailable) else owner, error)
                raise self._failed[name] from None
        return cast(Part, self._made[name])
