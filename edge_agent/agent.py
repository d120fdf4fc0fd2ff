"""`EdgeAgent`: one object that ties backbone, head, learner, guard and journal together."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_agent.admission import admit, remember
from edge_agent.advising import Advice, advise
from edge_agent.artifact import Artifact
from edge_agent.blas import Blas
from edge_agent.corrected_onnx import write_corrected_onnx
from edge_agent.correcting import rank
from edge_agent.corrections_folder import Exported, export_corrections
from edge_agent.errors import InputError, UsageError
from edge_agent.head import Head
from edge_agent.health import HealthReport, Running, examine
from edge_agent.health_settings import HealthSettings
from edge_agent.image import PictureSource
from edge_agent.journal import Journal
from edge_agent.journal_requests import Requested, find_request
from edge_agent.keeper import HeadKeeper, Serving
from edge_agent.labelling import add_label, remove_label
from edge_agent.observer import Observer
from edge_agent.ort import import_onnxruntime
from edge_agent.queue import Queue
from edge_agent.recorded import Recorded, recorded
from edge_agent.results import AgentInfo, Correction, Prediction, Undo
from edge_agent.runtime import Backbone, Seen
from edge_agent.settings import Settings, default_state
from edge_agent.signature import signature_in_words
from edge_agent.taking_back import undo_all, undo_one
from edge_agent.teaching import Lesson, Teacher
from edge_agent.views import check_views

__all__ = ["Correction", "EdgeAgent", "Prediction"]


class EdgeAgent:
    """A classifier that learns from one picture: predicts, corrects, takes back, and never forgets an acknowledged correction.

    Safe to share between threads; several processes may share one state directory. Make one with `EdgeAgent.open`.
    """

    def __init__(self, artifact: Artifact, state: Path, settings: Settings, now: Callable[[], datetime]) -> None:
        """Start the backbone; the state is not opened and the engine not started before they are needed.

        Args:
            artifact: opened.
            state: the state directory; it need not exist.
            settings: provider, engine, limits.
            now: the clock that the journal records.

        Raises:
            RuntimeUnavailable: ONNX Runtime, the provider or the engine cannot be had.
        """
        self.artifact, self.settings, self.state = artifact, settings, state
        self._blas = Blas()
        self._backbone = Backbone.open(artifact, settings.provider, settings.threads)
        self._observer = Observer(self._backbone, artifact.manifest.image, settings.image_limits)
        self._journal = Journal(state, artifact.digest, settings, now)
        self._keeper = HeadKeeper(artifact, settings, self._journal, self._backbone.provider)
        self._teacher = Teacher(self._observer, self._keeper, self._journal, self._blas, artifact.manifest.spare_classes)
        self.queue = Queue(artifact, self._keeper, self._journal, settings, self._blas, self._answer)

    @classmethod
    def open(
        cls,
        artifact: str | os.PathLike[str],
        state: str | os.PathLike[str] | None = None,
        provider: str | None = None,
        engine: str | None = None,
        settings: Settings | None = None,
    ) -> EdgeAgent:
        """Open an artifact and the state that belongs to it.

        Args:
            artifact: a directory that `edge-export build` wrote.
            state: where corrections are kept; by default `$EDGE_AGENT_STATE`, systemd's `$STATE_DIRECTORY`, or a folder of this
                artifact's own below `$XDG_STATE_HOME/edge-agent`.
            provider: "auto" or ONNX Runtime's name of a provider; by default what the settings say.
            engine: "auto", "onnxruntime-training" or "portable"; by default what the settings say.
            settings: limits and defaults; by default those of the environment.

        Returns:
            An agent that can predict. Nothing was written but, into a state that exists, that the artifact's first load did no harm: it
            is made in a child process with limits, and only once.

        Raises:
            ArtifactError: the artifact is missing, changed or foreign, its first load failed, or a trusted key is set and none signed it.
            RuntimeUnavailable: ONNX Runtime or the provider cannot be had.
            StateError: the state cannot be read or belongs to another artifact; a damaged correction is named when the head is needed.
            UsageError: the trusted key cannot be read.
        """
        settings = settings or Settings.load(None, os.environ, {})
        settings = replace(settings, provider=provider or settings.provider, engine=engine or settings.engine)
        opened = Artifact.open(artifact)
        folder = Path(state) if state is not None else default_state(os.environ, opened.digest)
        record = admit(opened, folder, settings)
        agent = cls(opened, folder, settings, lambda: datetime.now(timezone.utc))
        agent._journal.stamp()
        if not remember(record, opened, folder, settings):
            agent._journal.after_next_commit = partial(remember, record, opened, folder, settings)
        return agent

    def close(self) -> None:
        """Close the journal's file; the agent opens it again when it is used again."""
        self._journal.close()

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in the order of the logits, those added on the device last."""
        return self._keeper.current().labels

    @property
    def head(self) -> Head:
        """The head in use: frozen data, for those who measure it."""
        return self._keeper.current().head

    @property
    def spare_classes(self) -> int:
        """How many classes can still be added."""
        return self._spare(self._keeper.current())

    def predict(self, source: PictureSource, top: int = 5, name: str | None = None) -> Prediction:
        """Classify one picture; changes nothing.

        Args:
            source: a path, the bytes of a file, a PIL image or a uint8 array `[H, W, 3]` or `[H, W]`.
            top: how many labels to return, 1 or more.
            name: what to call the picture; a path names itself.

        Returns:
            The prediction; hand it to `correct` to spare a second pass through the backbone.

        Raises:
            InputError: the picture cannot be used.
            UsageError: `top` is below 1.
        """
        if top < 1:
            raise UsageError(f"top is {top}, expected 1 or more", "ask for at least one label")
        started = time.perf_counter()
        observed = self._observer.observe(source, name)
        serving = self._keeper.current()
        with self._blas.on_one_thread():
            ranked = rank(serving.head, serving.labels, observed.seen, top)
        facts = (observed.sample_id, serving.generation, _since(started), self.artifact.digest, observed.seen, observed.picture)
        return Prediction(observed.name, ranked[0].label, ranked[0].probability, ranked, *facts)

    def run_backbone(self, images: NDArray[np.float32]) -> Seen:
        """What the backbone sees in images `[N, 3, H, W]` that are the network's input already; for those who measure it."""
        return self._backbone.run(images)

    def correct(
        self,
        picture: PictureSource | Prediction,
        label: str,
        *,
        new_label: bool = False,
        views: int | None = None,
        dry_run: bool = False,
        force: bool = False,
    ) -> Correction:
        """Learn the right label of one picture, if that does no harm.

        Args:
            picture: what `predict` takes, or a `Prediction` of this artifact: then the backbone does not run again.
            label: the right label.
            new_label: whether a label that does not exist is added.
            views: re-shots to remember with it, 0 to 8, each for a pass through the backbone; by default what the settings say, and none
                with a `Prediction`.
            dry_run: whether to say what would happen and change nothing.
            force: whether to remember a picture that is right already, and to accept what the guard refuses; it is recorded.

        Returns:
            The verdict; it is on the disk when this returns.

        Raises:
            InputError: the picture cannot be used, or the prediction is of another artifact.
            UsageError: `views` is outside 0…8.
            LabelError: the label is unknown (the message names near ones), empty, or no spare class is left for it.
            StateError: the state cannot be written; the head in use stays.
        """
        started = time.perf_counter()
        seen = picture if isinstance(picture, Prediction) else self.predict(picture)
        if seen.artifact != self.artifact.digest:
            raise InputError(f"the prediction of {seen.image or 'the picture'} is of another artifact", "predict again with this agent")
        if views is None:
            views = 0 if isinstance(picture, Prediction) else self.settings.views
        check_views(views)
        source = seen.picture if isinstance(picture, Prediction) else picture
        done = self._teacher.teach(Lesson(seen, source, label, new_label, views, dry_run, force))
        return replace(done, elapsed_ms=_since(started))

    def undo(self, number: int | None = None) -> Undo:
        """Take one correction back; the head is then the one that never saw it, bit for bit.

        Args:
            number: its id; by default the last one that is active.

        Returns:
            What was taken back, and the head that serves now.

        Raises:
            InputError: nothing to undo, an unknown id, or one that was taken back or refused before.
            StateError: the state cannot be written.
        """
        with self._journal.turn(), self._blas.on_one_thread():
            return undo_one(self._keeper, self._journal, number)

    def reset(self) -> Undo:
        """Take every correction back; the history and the added labels stay.

        Raises:
            InputError: nothing to take back.
            StateError: the state cannot be written.
        """
        with self._journal.turn(), self._blas.on_one_thread():
            return undo_all(self._keeper, self._journal)

    @contextmanager
    def once(self, request: str) -> Iterator[None]:
        """What the block corrects or takes back is done for a named request, and never a second time, whatever stops the process.

        Args:
            request: its name, 1 to 128 printable characters; a message that may be delivered twice brings one. Give the block one call
                of `correct`, `undo` or `queue.label`: its name is on the disk with what that call did, or neither is.

        Raises:
            InputError: that is no name.
            RepeatedError: a request of this name was carried out before, by whichever process; nothing changed; see `requested`.
            StateError: the state cannot be written.
        """
        if not isinstance(request, str) or not 0 < len(request) <= 128 or not request.isprintable():
            raise InputError(f"the request is called {request!r:.60}", "give a name of 1 to 128 printable characters")
        with self._journal.turn(), self._journal.on_behalf_of(request):
            yield

    def requested(self, request: str) -> Requested | None:
        """What a named request did, or None where none of this name was carried out; the newest 10 000 are known.

        Raises:
            StateError: the state cannot be read, or its row is damaged.
        """
        return self._journal.read(lambda connection: find_request(connection, request))

    def history(self) -> tuple[Recorded, ...]:
        """Every correction that was recorded, the first one first, and what has become of it; refused and undone ones too."""
        with self._blas.on_one_thread():
            return recorded(self._keeper, self._journal, self.settings)

    def picture(self, number: int) -> bytes | None:
        """The picture's file that was kept with a correction; None where none was, or it is damaged.

        Raises:
            StateError: the state cannot be read.
        """
        return self._journal.picture(number)

    def export_corrections(self, directory: str | os.PathLike[str], device: str | None = None) -> Exported:
        """Write every correction with its picture and its verdict into a new directory, for the next artifact.

        Args:
            directory: must not exist, or be empty.
            device: what the list calls this device; by default the machine's name.

        Raises:
            UsageError: something lies at `directory`.
            InputError: there is nothing to export, or the directory cannot be written.
        """
        return export_corrections(self.history(), self._journal.picture, self.artifact, Path(directory), device)

    def add_label(self, name: str) -> int:
        """Add a class; it wins no picture until it is taught one.

        Args:
            name: 1 to 128 printable characters, not a label yet.

        Returns:
            The number of spare classes that are left.

        Raises:
            LabelError: the name is taken or cannot be a label, or no spare class is left.
            StateError: the state cannot be written.
        """
        with self._journal.turn(), self._blas.on_one_thread():
            return add_label(self._keeper, self._journal, name, self.artifact.manifest.spare_classes)

    def remove_label(self, name: str) -> int:
        """Remove a class that was added here and that no active correction names; returns how many spare classes are left.

        Raises:
            LabelError: no such label, one of the factory's, or one with active corrections; undo those first.
            StateError: the state cannot be written.
        """
        with self._journal.turn(), self._blas.on_one_thread():
            return remove_label(self._keeper, self._journal, name, self.artifact.manifest.spare_classes)

    def advise(self) -> Advice:
        """Is one picture enough? What was taught so far is worth, measured, and what to teach next; takes a second or two.

        Raises:
            StateError: the state is damaged.
            RuntimeUnavailable: the engine cannot be had.
        """
        with self._journal.turn(), self._blas.on_one_thread():
            return advise(self.artifact, self._keeper, self._keeper.current(), self._journal.history(), self._teacher.reshots)

    def export_onnx(self, path: str | os.PathLike[str]) -> float:
        """Write the corrected network as one plain ONNX file, `image` → `logits`, and compare it with the agent.

        Args:
            path: the file; it appears under this name only when it has passed.

        Returns:
            The greatest difference of a logit on the golden samples.

        Raises:
            InputError: the file cannot be written.
            RuntimeUnavailable: what was written does not answer as the agent does.
        """
        head = self._keeper.current().head
        return write_corrected_onnx(self.artifact, self._backbone, head, Path(path), self.settings.image_limits)

    def info(self) -> AgentInfo:
        """What is running; starts the engine.

        Raises:
            RuntimeUnavailable: the engine cannot be had.
        """
        manifest, serving = self.artifact.manifest, self._keeper.current()
        engine, engine_reason = self._keeper.engine()
        return AgentInfo(
            str(self.artifact.path), self.artifact.digest, manifest.model.name, len(serving.labels), self._spare(serving),
            manifest.image.crop_px, import_onnxruntime().__version__, self._backbone.provider, self._backbone.reason,
            engine, engine_reason, str(self.state), serving.generation, serving.head.digest(), len(self._keeper.evidence(serving)),
            manifest.capacity, manifest.sentinel.accuracy, float(serving.right.mean()),
            signature_in_words(self.artifact.signature, bool(self.settings.trusted_key)),
        )  # fmt: skip

    def health(self, settings: HealthSettings | None = None) -> HealthReport:
        """Check artifact, runtime, head, state and machine; writes nothing, and what is broken is in the report.

        Args:
            settings: which checks, and their thresholds; by default those of the environment.

        Raises:
            UsageError: the environment holds a check or threshold that means nothing.
        """
        settings = settings or HealthSettings.load(None, os.environ, {})
        running = Running(self.artifact.digest, self._backbone, self._keeper)
        return examine(self.artifact.path, self.state, self.settings, settings, running)

    def _answer(self, waiting: Prediction, label: str, new_label: bool) -> Correction:
        """What a person says of a picture that waits: the correction and its end of waiting in one transaction."""
        started = time.perf_counter()
        lesson = Lesson(waiting, waiting.picture, label, new_label, self.settings.views, waits=True)
        return replace(self._teacher.teach(lesson), elapsed_ms=_since(started))

    def _spare(self, serving: Serving) -> int:
        return self.artifact.manifest.spare_classes - len(serving.head.added)


def _since(started: float) -> float:
    """Milliseconds since a reading of `time.perf_counter`."""
    return (time.perf_counter() - started) * 1000
