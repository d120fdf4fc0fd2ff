"""`agent.queue`: the pictures that are worth a person's second, in the order of their worth; an answer is a correction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edge_agent.artifact import Artifact
from edge_agent.asking import Question, questions
from edge_agent.blas import Blas
from edge_agent.correcting import rank
from edge_agent.errors import InputError, UsageError
from edge_agent.journal import Journal
from edge_agent.journal_queue import Answer, WaitingRow, is_known, not_waiting, read_answers, waiting_picture, waiting_places
from edge_agent.keeper import HeadKeeper, Serving
from edge_agent.results import Correction, Prediction, Ranked
from edge_agent.runtime import Seen
from edge_agent.settings import Settings
from edge_agent.waiting_pool import WaitingPool

Teach = Callable[[Prediction, str, bool], Correction]


@dataclass(frozen=True)
class Offer:
    """What became of an offered picture.

    Attributes:
        kept: whether it waits now.
        reason: why, in words: what makes it a question, or why it is none.
        score: what asking about it is worth (0…1).
        sample_id: of the picture.
        dropped: sample ids of those that left for it.
    """

    kept: bool
    reason: str
    score: float
    sample_id: str
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Waiting:
    """One picture that waits for a person, as the head in use sees it.

    Attributes:
        sample_id: names it; `Queue.picture` has its file.
        image: its name as it was given, or None.
        at: when it was offered, ISO 8601 in UTC.
        label, probability: the guess, calibrated (0…1).
        runner_up, runner_up_probability: the second guess.
        top: the most probable labels, five where there are as many, the first one first.
        reason: why it is asked, in words.
        score: what asking is worth (0…1); the list begins with the greatest.
        picture_bytes: size of its file.
    """

    sample_id: str
    image: str | None
    at: str
    label: str
    probability: float
    runner_up: str
    runner_up_probability: float
    top: tuple[Ranked, ...]
    reason: str
    score: float
    picture_bytes: int


class Queue:
    """The waiting pictures of one agent; safe to share between threads and with other processes. `EdgeAgent.queue` makes it."""

    def __init__(
        self, artifact: Artifact, keeper: HeadKeeper, journal: Journal, settings: Settings, blas: Blas, teach: Teach
    ) -> None:
        """Bind the parts; nothing is read yet.

        Args:
            artifact: what the predictions are of.
            keeper: of the head in use.
            journal: of the same state.
            settings: budget and thresholds.
            blas: holds numpy to one thread, for small products.
            teach: corrects a picture that waits and takes it out of the queue, in one transaction.
        """
        self._artifact, self._keeper, self._journal, self._settings = artifact, keeper, journal, settings
        self._blas, self._teach = blas, teach
        self._pool = WaitingPool(journal, artifact.manifest.directions)

    def __len__(self) -> int:
        """How many pictures wait."""
        return len(self._journal.read(waiting_places))

    def offer(self, prediction: Prediction, picture: bytes | None = None) -> Offer:
        """Let a picture wait for a person if asking about it is worth it; never changes what is predicted.

        Args:
            prediction: of this agent.
            picture: its file, to be shown to a person; a prediction of a file brings its own.

        Returns:
            Whether it waits now, and why. What is not kept is not written.

        Raises:
            InputError: there is no file to show, or the prediction is of another artifact.
            StateError: the state cannot be written; predictions go on.
        """
        picture = prediction.picture if picture is None else picture
        if not picture:
            raise InputError("a picture that was never a file cannot wait: there is nothing to show", "give offer its bytes")
        if prediction.artifact != self._artifact.digest:
            raise InputError(f"the prediction of {prediction.image or 'the picture'} is of another artifact", "predict again")
        serving = self._keeper.current()
        asked = self._ask(serving, prediction.seen)[0]
        if not self._settings.queue_pictures or not self._settings.queue_bytes:
            return Offer(False, "the queue is switched off", asked.score, prediction.sample_id)
        if asked.score < self._settings.queue_worth:  # most pictures: they wait for no lock
            return Offer(False, asked.reason, asked.score, prediction.sample_id)
        with self._journal.lock:
            fault = self._not_a_question(serving, prediction, len(picture))
            if fault:
                return Offer(False, fault, asked.score, prediction.sample_id)
            return self._admit(serving, prediction, picture, asked)

    def waiting(self, limit: int | None = None) -> tuple[Waiting, ...]:
        """The pictures that wait, those most worth asking first, as the head in use sees them.

        Args:
            limit: at most so many, 1 or more; None for all.

        Raises:
            UsageError: the limit is below 1.
            StateError: the state cannot be read.
        """
        if limit is not None and limit < 1:
            raise UsageError(f"limit is {limit}, expected 1 or more", "ask for at least one picture")
        with self._journal.lock:
            pool, serving = self._pool.current(), self._keeper.current()
            found = self._ask(serving, pool.seen) if pool.seen is not None else []
        pairs = sorted(zip(pool.rows, found, strict=True), key=lambda pair: (-pair[1].score, pair[0].place))
        return tuple(_as_waiting(row, asked) for row, asked in pairs[:limit])

    def get(self, sample_id: str) -> Waiting:
        """One picture that waits.

        Raises:
            NotWaitingError: no such sample waits.
            AnsweredError: it was answered before.
            StateError: the state cannot be read.
        """
        with self._journal.lock:
            row = self._row(sample_id)
            return _as_waiting(row, self._ask(self._keeper.current(), row.seen)[0])

    def picture(self, sample_id: str) -> bytes:
        """The file of a picture that waits, as it was offered.

        Raises:
            NotWaitingError: no such sample waits.
            AnsweredError: it was answered before.
            StateError: the picture is damaged, or the state cannot be read.
        """
        return self._journal.read(lambda connection: waiting_picture(connection, sample_id))

    def answers(self) -> list[Answer]:
        """What was said of pictures that waited, the first one first; the newest 2000 are kept.

        Raises:
            StateError: the state cannot be read.
        """
        return self._journal.read(read_answers)

    def label(self, sample_id: str, label: str, new_label: bool = False) -> Correction:
        """Say what a waiting picture is: it is corrected as by `EdgeAgent.correct`, and waits no longer, in one transaction.

        Args:
            sample_id: of a picture that waits.
            label: the right label; the model's own guess is an answer too.
            new_label: whether a label that does not exist is added.

        Returns:
            The verdict; it is on the disk when this returns. A refused one has left the queue too, and is in the history.

        Raises:
            NotWaitingError: no such sample waits.
            AnsweredError: somebody has answered it before; nothing changed.
            LabelError: the label is unknown or cannot be one; the picture waits on.
            StateError: the state cannot be written; the picture waits on.
        """
        with self._journal.lock:
            row, picture, serving = self._row(sample_id), self.picture(sample_id), self._keeper.current()
        ranked = rank(serving.head, serving.labels, row.seen, 5)
        facts = (row.sample_id, serving.generation, 0.0, self._artifact.digest, row.seen, picture)
        return self._teach(Prediction(row.image, ranked[0].label, ranked[0].probability, ranked, *facts), label, new_label)

    def skip(self, sample_id: str) -> None:
        """Take a picture out that is not worth an answer; neither it nor one like it is asked about again.

        Raises:
            NotWaitingError: no such sample waits.
            AnsweredError: it was answered before.
            StateError: the state cannot be written.
        """
        self._set_aside(sample_id, "skipped")

    def unsure(self, sample_id: str) -> None:
        """Take a picture out because the person cannot tell; it is counted, and neither it nor one like it is asked about again.

        Raises:
            NotWaitingError: no such sample waits.
            AnsweredError: it was answered before.
            StateError: the state cannot be written.
        """
        self._set_aside(sample_id, "unsure")

    def clear(self) -> int:
        """Empty the queue; what was in it may be offered again. Returns how many pictures waited.

        Raises:
            StateError: the state cannot be written.
        """
        with self._journal.lock:
            if not len(self):
                return 0
            with self._journal.writing() as writer:
                return writer.queue.clear()

    def _not_a_question(self, serving: Serving, prediction: Prediction, size: int) -> str:
        """Why an uncertain picture is not asked about, or nothing."""
        if size > self._settings.queue_bytes:
            return f"its file of {size} bytes is larger than the whole queue may be ({self._settings.queue_bytes})"
        if self._journal.read(lambda connection: is_known(connection, prediction.sample_id)):
            return "it waits already, or was answered"
        context, pool = prediction.seen.context[0], self._pool.current()
        if pool.seen is not None and (pool.seen.context @ context).max() > self._settings.queue_alike:
            return "one like it waits already"
        if (pool.answered @ context).max(initial=-1.0) > self._settings.queue_repeat:
            return "one like it was answered"
        if (serving.head.contexts @ context).max(initial=-1.0) > self._settings.queue_repeat:
            return "one like it was taught"
        return ""

    def _admit(self, serving: Serving, prediction: Prediction, picture: bytes, asked: Question) -> Offer:
        """Write it, and let the least informative leave where there is no room."""
        pool = self._pool.current()
        worth = [found.score for found in self._ask(serving, pool.seen)] if pool.seen is not None else []
        leaving = _least(pool.rows, worth, self._settings, len(picture))
        if any(worth[place] >= asked.score for place in leaving):
            return Offer(False, f"the queue is full of pictures that are worth more ({asked.reason})", asked.score, prediction.sample_id)
        names = tuple(pool.rows[place].sample_id for place in leaving)
        with self._journal.writing() as writer:
            if not writer.queue.add(prediction.sample_id, prediction.image, prediction.seen, picture):
                return Offer(False, "it waits already, or was answered", asked.score, prediction.sample_id)  # another process was first
            writer.queue.remove(names)
        return Offer(True, asked.reason, asked.score, prediction.sample_id, names)

    def _set_aside(self, sample_id: str, answer: str) -> None:
        with self._journal.lock:
            context = self._row(sample_id).seen.context[0]
            with self._journal.writing() as writer:
                writer.queue.answer(sample_id, answer, None, context)

    def _ask(self, serving: Serving, seen: Seen) -> list[Question]:
        with self._blas.on_one_thread():
            return questions(serving.head, serving.labels, seen, self._keeper.finder.unusual(seen.context))

    def _row(self, sample_id: str) -> WaitingRow:
        for row in self._pool.current().rows:
            if row.sample_id == sample_id:
                return row
        return self._journal.read(lambda connection: not_waiting(connection, sample_id))


def _least(rows: Sequence[WaitingRow], worth: Sequence[float], settings: Settings, size: int) -> list[int]:
    """Places of the rows that must leave so that one more of this size fits: those worth least."""
    count, total, leaving = len(rows) + 1, sum(row.picture_bytes for row in rows) + size, list[int]()
    for place in np.argsort(worth, kind="stable").tolist():
        if count <= settings.queue_pictures and total <= settings.queue_bytes:
            break
        leaving.append(place)
        count, total = count - 1, total - rows[place].picture_bytes
    return leaving


def _as_waiting(row: WaitingRow, asked: Question) -> Waiting:
    return Waiting(row.sample_id, row.image, row.made_at, **vars(asked), picture_bytes=row.picture_bytes)
