"""Teaching: a person's word on a picture becomes a correction, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edge_agent.blas import Blas
from edge_agent.correcting import acknowledged, consider, only_answer, rank, record
from edge_agent.errors import InputError
from edge_agent.image import PictureSource
from edge_agent.journal import Journal
from edge_agent.keeper import HeadKeeper
from edge_agent.label_rules import check_label
from edge_agent.observer import Observer
from edge_agent.results import Correction, Prediction
from edge_agent.runtime import Seen, stacked


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a person said of one picture.

    Attributes:
        seen: the picture's prediction.
        source: the picture itself, for its views; None where there is only what was seen.
        label: the right one.
        new_label: whether a label that does not exist is added.
        views: re-shots to remember with it, 0 to 8.
        dry_run: whether nothing is to change.
        force: whether the person insists.
        waits: whether the picture is in the queue, and leaves it with this answer.
    """

    seen: Prediction
    source: PictureSource | None
    label: str
    new_label: bool = False
    views: int = 0
    dry_run: bool = False
    force: bool = False
    waits: bool = False


class Teacher:
    """Carries lessons out for one agent; safe to share between threads."""

    def __init__(self, observer: Observer, keeper: HeadKeeper, journal: Journal, blas: Blas, spare_classes: int) -> None:
        """Bind the parts.

        Args:
            observer: looks at views.
            keeper: of the head in use.
            journal: of the same state.
            blas: holds numpy to one thread, for small products.
            spare_classes: how many classes the artifact has room for.
        """
        self.observer = observer
        self._keeper, self._journal, self._blas, self._spare_classes = keeper, journal, blas, spare_classes

    def teach(self, lesson: Lesson) -> Correction:
        """Learn it if that does no harm; the verdict is on the disk when this returns, and the caller knows the time.

        Raises:
            InputError: views are asked for of a picture that is not there.
            LabelError: the label is unknown, or there is no room for a new one.
            StateError: the state cannot be written; the head in use stays.
        """
        seen, label, context = lesson.seen, lesson.label, lesson.seen.seen.context[0]
        with self._journal.turn(), self._blas.on_one_thread():
            serving = self._keeper.current()
            check_label(label, serving.labels, self._spare_classes - len(serving.head.added), lesson.new_label)
            only_to_say = not lesson.force and rank(serving.head, serving.labels, seen.seen, 1)[0].label == label
            if lesson.views and not only_to_say:
                seen = self._with_views(seen, lesson.source, lesson.views)
            if lesson.dry_run or only_to_say:
                if lesson.waits:
                    with self._journal.writing() as writer:
                        writer.queue.answer(seen.sample_id, "labelled", label, context)
                return only_answer(self._keeper, serving, seen, label, lesson.force)
            with self._journal.writing() as writer:
                if lesson.waits:
                    writer.queue.answer(seen.sample_id, "labelled", label, context)
                serving = self._keeper.current()  # another process may have been first
                check_label(label, serving.labels, self._spare_classes - len(serving.head.added), lesson.new_label)
                candidate = consider(self._keeper, serving, seen, label, writer.next_correction(), lesson.force)
                after, entry = record(self._keeper, writer, serving, candidate, seen)
            self._keeper.adopt(after)
            return acknowledged(entry, candidate.findings, 0)

    def reshots(self, number: int, count: int) -> list[Seen]:
        """What the backbone sees in fresh views of a kept picture: other ones than a correction remembers."""
        picture = self._journal.picture(number)
        return [] if picture is None else self.observer.observe_views(picture, None, count, f"{number:x}")

    def _with_views(self, seen: Prediction, picture: PictureSource | None, count: int) -> Prediction:
        """The prediction with views behind the picture's own row."""
        if picture is None:
            raise InputError("a prediction made from an image in memory has no views", "give correct the picture itself, or views=0")
        views = self.observer.observe_views(picture, seen.image, count, seen.sample_id)
        return replace(seen, seen=stacked([seen.seen, *views]))
