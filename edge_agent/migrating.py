"""Corrections on their way to another artifact: each one is taught again, from its kept picture and through the guard.

A new network sees other features, so nothing that was seen can be taken over; pictures and labels can. The new state is made in full
beside everything, and takes the old one's place in one transaction when it is sound. What cannot be taught again is kept as pending.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from edge_agent.admission import admit, remember
from edge_agent.agent import EdgeAgent
from edge_agent.artifact import Artifact
from edge_agent.errors import InputError, LabelError, StateError, UsageError
from edge_agent.journal import Entry, Journal
from edge_agent.journal_facts import commits
from edge_agent.journal_file import SAVE_HINT
from edge_agent.journal_queue import read_answers, waiting_pictures
from edge_agent.journal_requests import read_requests
from edge_agent.journal_rows import Pending, read_pending
from edge_agent.settings import Settings
from edge_agent.state_check import damage_of
from edge_agent.state_reader import open_snapshot
from edge_agent.state_replacing import put_state, replace_in_place
from edge_agent.state_salvage import HEAD

Progress = Callable[[int, int], None]
PENDING = "pending"


@dataclass(frozen=True)
class Moved:
    """What became of one correction.

    Attributes:
        id: its number in the old state.
        image: name of its picture, or None.
        label: what the person said.
        outcome: "accepted", "already_correct" (the new network knows it: nothing to learn), "refused" (by the guard; in the new history),
            or "pending" (it could not be taught again).
        reason: in words.
        new_id: its number in the new state, or None.
    """

    id: int
    image: str | None
    label: str
    outcome: str
    reason: str
    new_id: int | None


@dataclass(frozen=True)
class Migration:
    """What came of a migration.

    Attributes:
        state: where the new state is.
        kept: where the old one is.
        from_artifact, to_artifact: digests.
        dry_run: whether all of it was tried and nothing changed.
        labels: classes that were added to the new artifact.
        corrections: what became of each that acted, the first one first.
        waiting: how many of the pictures that waited for a person wait again: the new network asks about others.
        waited: how many waited before.
        factory_accuracy, accuracy: of the new artifact on its sentinel set, before and after.
    """

    state: str
    kept: str
    from_artifact: str
    to_artifact: str
    dry_run: bool
    labels: tuple[str, ...]
    corrections: tuple[Moved, ...]
    waiting: int
    waited: int
    factory_accuracy: float
    accuracy: float


def migrate_state(
    source: Artifact, target: Artifact, folder: Path, destination: Path, settings: Settings, dry_run: bool, progress: Progress
) -> Migration:
    """Teach another artifact what a state has learned; nothing changes until all of it has succeeded.

    Args:
        source: the state's artifact.
        target: the new one.
        folder: the state directory.
        destination: where the new state goes: the same directory, or one of the new artifact's own, which must be empty.
        settings: provider, engine, limits.
        dry_run: whether to change nothing at all.
        progress: told after each correction how many are done, of how many.

    Returns:
        What became of each correction, and where the old state is kept.

    Raises:
        UsageError: both are the same artifact, or the trusted key cannot be read.
        ArtifactError: the new artifact's first load failed, or a key is trusted that did not sign it.
        StateError: there is no state, it is damaged or of a third artifact; it changed meanwhile; or it cannot be written.
        StateBusyError: another process holds it for longer than `wait_ms`.
        RuntimeUnavailable: the runtime or the engine cannot be had.
    """
    if source.digest == target.digest:
        raise UsageError("both artifacts are the same one", "--from is the artifact that the state belongs to, --to the new one")
    record = admit(target, destination, settings)
    old = Journal(folder, source.digest, settings, _now)
    reached = old.read(lambda connection: _sound(connection, folder))
    with tempfile.TemporaryDirectory(prefix="edge-agent-migrate-") as private:
        agent = EdgeAgent(target, Path(private), settings, _now)
        labels = _add_labels(agent, old)
        moved = _teach_all(agent, old, progress)
        waited, waiting = _offer_again(agent, old)
        accuracy, factory = agent.info().sentinel_accuracy, target.manifest.sentinel.accuracy
        agent.close()
        _note(Journal(Path(private), target.digest, settings, _now), old, moved, source.manifest.image == target.manifest.image)
        kept = folder
        if not dry_run:
            with _finished(Path(private), settings) as made:
                if destination == folder:
                    kept = replace_in_place(made, old, settings, "migrate", lambda: _check_unchanged(old, reached)) or folder
                else:
                    put_state(made, destination, target.digest, settings, "migrate", False)
            remember(record, target, destination, settings)
    old.close()
    facts = (str(destination), str(kept), source.digest, target.digest, dry_run)
    return Migration(*facts, labels, tuple(moved), waiting, waited, factory, accuracy)


def _sound(connection: sqlite3.Connection | None, folder: Path) -> int:
    """How far the old state has come, if it is sound."""
    if connection is None:
        raise StateError(f"there is no state in {folder}", "name the directory that --from has learned in with --state")
    damage = [found for found in damage_of(connection, folder) if not found.startswith(HEAD)]
    if damage:
        raise StateError(f"the state {folder} is damaged: {'; '.join(damage[:5])}", SAVE_HINT)
    return commits(connection)


def _check_unchanged(old: Journal, reached: int) -> None:
    if old.read(lambda connection: commits(connection) if connection else 0) != reached + 1:  # the open transaction is one
        raise StateError(f"the state {old.folder} changed while its corrections were moved", "nothing was replaced; run it again")


def _add_labels(agent: EdgeAgent, old: Journal) -> tuple[str, ...]:
    """The classes that were added on the device, as far as the new artifact lacks them and has room."""
    added = []
    for name in old.added_labels():
        if name not in agent.labels and agent.spare_classes:
            agent.add_label(name)
            added.append(name)
    return tuple(added)


def _teach_all(agent: EdgeAgent, old: Journal, progress: Progress) -> list[Moved]:
    """Each correction that acts, in the order in which they were made; then once more those that were right and are no longer."""
    entries = [entry for entry in old.history() if entry.active]
    moved = []
    for done, entry in enumerate(entries, 1):
        moved.append(_teach(agent, old, entry))
        progress(done, len(entries))
    for place, entry in enumerate(entries):
        if moved[place].outcome == "already_correct":
            moved[place] = _teach(agent, old, entry)
    return moved


def _teach(agent: EdgeAgent, old: Journal, entry: Entry) -> Moved:
    facts, picture = (entry.id, entry.image, entry.label), old.picture(entry.id)
    if picture is None:
        return Moved(*facts, PENDING, "its picture was not kept", None)
    try:
        done = agent.correct(agent.predict(picture, name=entry.image), entry.label, views=agent.settings.views)
    except LabelError:
        return Moved(*facts, PENDING, f"the new artifact has no label {entry.label!r}", None)
    except InputError as error:
        return Moved(*facts, PENDING, error.message, None)
    return Moved(*facts, done.verdict, done.reason, done.id)


def _offer_again(agent: EdgeAgent, old: Journal) -> tuple[int, int]:
    """Let the pictures that wait wait again, if the new network still asks about them; how many did, and do."""
    waited = 0
    for image, picture in old.read(waiting_pictures):
        waited += 1
        try:
            agent.queue.offer(agent.predict(picture, name=image))
        except InputError:  # such as one above limits that are tighter now
            continue
    return waited, len(agent.queue)


def _note(new: Journal, old: Journal, moved: list[Moved], are_same_pixels: bool) -> None:
    """What belongs to the new state beside its corrections: those that are pending, requests that were carried out, answers."""
    entries, numbers = {entry.id: entry for entry in old.history()}, {each.id: each.new_id for each in moved}
    with new.writing() as writer:
        for each in moved:
            if each.outcome == PENDING:
                entry = entries[each.id]
                writer.add_pending(Pending(each.id, entry.made_at, entry.image, entry.sample_id, entry.label, each.reason))
        for before in old.read(read_pending):
            writer.add_pending(before)
        for request in old.read(read_requests):
            ids = [number for number in (numbers.get(number) for number in request.corrections) if number is not None]
            writer.carry_request(request.name, ids)
        for answer in old.read(read_answers) if are_same_pixels else ():  # else the same picture has another sample id
            writer.queue.carry(answer)
    new.close()


@contextmanager
def _finished(folder: Path, settings: Settings) -> Iterator[sqlite3.Connection]:
    """The new state, when it is sound."""
    connection = open_snapshot(folder, settings.wait_ms)
    if connection is None:
        raise StateError("the new state could not be made", "nothing was replaced; run it again")
    with closing(connection):
        for damage in damage_of(connection, folder):
            raise StateError(f"the new state is damaged: {damage}", "nothing was replaced; check the disk and the memory")
        yield connection


def _now() -> datetime:
    return datetime.now(timezone.utc)
