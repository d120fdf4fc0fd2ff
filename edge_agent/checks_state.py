"""The checks of what was learned: state, head, sentinel accuracy, corrections."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from edge_agent.artifact import Artifact
from edge_agent.check import Check, Fault, conclude, readable
from edge_agent.fold import fold_difference
from edge_agent.journal_file import FILE_NAME
from edge_agent.nagios import Measure, Range, Status
from edge_agent.runtime import Seen
from edge_agent.state_reader import VERDICTS, StateFacts, find_damage, read_facts, read_waiting
from edge_agent.subject import PartFailed, Subject

RECENT = 20
_SPARE_BYTES = 192 * 1024**2  # the rows, the heads and SQLite's log, beside the pictures
_NEAR_CAPACITY = 0.95
_FILES = (FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm")


def check_state(subject: Subject) -> Check:
    """The journal: pages, digests, schema, owner, size, rights; with `deep` also that solving it again gives the head in use."""
    folder = subject.state()
    faults = [Fault(Status.CRITICAL, f"damaged: {', '.join(damage)}", _hint(damage)) for damage in [subject.reading(_damage)] if damage]
    loss = subject.loss()
    faults += [] if loss is None else [Fault(Status.CRITICAL, loss.message, loss.hint)]
    faults += _write_faults(folder)
    facts = subject.reading(_facts)
    size = _size(folder)
    limit = subject.settings.kept_pictures_bytes + _SPARE_BYTES
    measures = [
        subject.health.measure("state_size", size, Range.at_most(4 * limit), Range.at_most(limit)),
        subject.health.measure("state_generations", facts.generations),
    ]
    sentence = _state_sentence(folder, facts, size)
    if not any(fault.status is Status.CRITICAL for fault in faults):
        try:
            subject.serving()
            if subject.health.deep:
                measures.append(_solved_again(subject))
        except PartFailed as failed:  # a state that cannot serve is this check's to report; what else cannot is not
            if failed.part == "state":
                raise
            sentence += f"; not compared with the {failed.part}, which failed"
    hint = "keep fewer pictures (kept_pictures_bytes), or solve the head again: teach or undo one correction"
    return conclude("state", sentence, measures, hint, faults)


def check_head(subject: Subject) -> Check:
    """The head in use is finite; how far it has moved from the factory's, and how much room is left."""
    artifact, serving = subject.artifact(), subject.sound()
    factory = artifact.statistics.sentinel_logits.argmax(1)
    changed = float((serving.head.logits(_sentinel(artifact)).argmax(1) != factory).mean())
    rows, capacity = len(serving.head.contexts), subject.settings.capacity_within(artifact.manifest.capacity)
    spare = artifact.manifest.spare_classes - len(serving.head.added)
    health = subject.health
    measures = [
        health.measure("head_changed", changed),
        health.measure("head_rows", rows, warning=Range.at_most(_NEAR_CAPACITY * capacity)),
        health.measure("head_spare_classes", spare),
    ]
    classes = f"{len(serving.labels)} classes, {spare} spare"
    detail = f"generation {serving.generation}, {rows} of {capacity} rows, {changed:.1%} of the sentinel answers changed; {classes}"
    hint = "build a new artifact with these pictures in its training data, or undo corrections that are not needed"
    return conclude("head", detail, measures, hint)


def check_sentinel(subject: Subject) -> Check:
    """Accuracy on the sentinel set, of the head in use and of the factory's; the latter must be what the manifest says."""
    artifact, serving = subject.artifact(), subject.sound()
    statistics, said = artifact.statistics, artifact.manifest.sentinel.accuracy
    factory = float((statistics.sentinel_logits.argmax(1) == statistics.sentinel_labels).mean())
    accuracy = float((serving.head.logits(_sentinel(artifact)).argmax(1) == statistics.sentinel_labels).mean())
    total, size = subject.settings.guard_total, len(statistics.sentinel_labels)
    loss = factory - accuracy
    measures = [
        subject.health.measure("sentinel_accuracy", accuracy),
        subject.health.measure("sentinel_loss", loss, Range.at_most(total), Range.at_most(0.8 * total)),
    ]
    faults = []
    if abs(factory - said) > 0.5 / size:
        found = f"the factory head's accuracy is {factory:.1%}, the manifest says {said:.1%}"
        faults.append(Fault(Status.CRITICAL, found, "build the artifact again"))
    detail = f"{accuracy:.1%} of {size} sentinel pictures right, {factory:.1%} by the factory head"
    return conclude("sentinel", detail, measures, "see edge-agent history, and undo what did harm", faults)


def check_corrections(subject: Subject) -> Check:
    """The corrections so far, and how many of the newest were refused: poisoned teaching, or statistics that do not fit the field."""
    facts, health = subject.reading(_facts), subject.health
    refused, count = facts.recent.count("refused"), sum(facts.verdicts.values())
    measures = [
        health.measure("corrections_active", facts.active),
        *(health.measure(f"corrections_{verdict}", facts.verdicts.get(verdict, 0)) for verdict in VERDICTS),
        health.measure("corrections_undone", facts.undone),
        health.measure("recent_refused", refused),
        health.measure("recent_undone", facts.recent_undone),
    ]
    newest = f", the newest from {facts.newest_at}" if facts.newest_at else ""
    recent = f"of the last {len(facts.recent)} {refused} refused and {facts.recent_undone} taken back"
    detail = f"{count} corrections, {facts.active} in force; {recent}{newest}" if count else "no corrections yet"
    hint = "see edge-agent history: the labels contradict each other, or the pictures are of another kind"
    return conclude("corrections", detail, measures, hint)


def check_queue(subject: Subject) -> Check:
    """What waits for a person, and since when: a queue that nobody answers teaches nothing."""
    waiting, health, settings = subject.reading(read_waiting), subject.health, subject.settings
    waited_s = 0.0
    if waiting.oldest_at is not None:
        waited_s = max(0.0, (subject.now() - datetime.fromisoformat(waiting.oldest_at)).total_seconds())
    measures = [
        health.measure("queue_waiting", waiting.count),
        health.measure("queue_size", waiting.size_bytes),
        health.measure("queue_oldest", waited_s),
    ]
    since = f"{waiting.count} of at most {settings.queue_pictures} pictures wait, the oldest since {waiting.oldest_at}"
    hint = "answer them with edge-agent queue list and queue label, or edge-agent queue clear"
    return conclude("queue", since if waiting.count else "nothing waits", measures, hint)


def _sentinel(artifact: Artifact) -> Seen:
    statistics = artifact.statistics
    return Seen(statistics.sentinel_logits, statistics.sentinel_features, statistics.sentinel_context)


def _damage(connection: sqlite3.Connection | None) -> list[str]:
    return list(find_damage(connection))[:5] if connection else []


def _facts(connection: sqlite3.Connection | None) -> StateFacts:
    return read_facts(connection, RECENT)


def _hint(damage: list[str]) -> str:
    if all(text.startswith("head ") for text in damage):
        return "teach or undo one correction: the head is then solved from the corrections, which are sound"
    if all(text.startswith(("head ", "the picture ", "correction ")) for text in damage):
        return "keep a copy of the state; take a damaged correction back with edge-agent undo ID and teach it again"
    return "keep a copy of the state, then start with another --state; the storage may be failing"


def _state_sentence(folder: Path, facts: StateFacts, size: int) -> str:
    if not size:
        return f"no journal yet in {folder}"
    return f"journal of {readable(size, 'B')}, {facts.generations} heads, {facts.pictures} pictures, every SHA-256 fits"


def _size(folder: Path) -> int:
    total = 0
    for name in _FILES[:2]:
        with suppress(OSError):
            total += (folder / name).stat().st_size
    return total


def nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    folder = folder.absolute()
    while not os.path.isdir(folder) and folder != folder.parent:
        folder = folder.parent
    return folder


def _write_faults(folder: Path) -> list[Fault]:
    """Whether the next correction could be written, as far as can be seen without trying: by the owner of the state, not by this user."""
    hint = "predictions go on; make the state writable for the user who corrects, or name another with --state"
    place = nearest(folder)
    facts = os.stat(place)
    if hasattr(os, "statvfs") and os.statvfs(place).f_flag & os.ST_RDONLY:
        return [Fault(Status.WARNING, f"{place} is on a file system that is mounted read-only", hint)]
    if place != folder.absolute() and not os.access(place, os.W_OK):
        return [Fault(Status.WARNING, f"{folder} does not exist, and this user cannot create it in {place}", hint)]
    if not _owner_writes(place, facts):
        return [Fault(Status.WARNING, f"{place} cannot be written by its owner", hint)]
    for name in _FILES:
        with suppress(FileNotFoundError):
            file = os.stat(folder / name)
            if facts.st_uid not in (0, file.st_uid) and not file.st_mode & 0o022:
                found = f"{name} belongs to user {file.st_uid}, the directory to user {facts.st_uid}, who cannot write it"
                return [Fault(Status.WARNING, found, f"chown it to user {facts.st_uid}; run edge-agent as the user who owns the state")]
            if not _owner_writes(folder / name, file):
                return [Fault(Status.WARNING, f"{folder / name} cannot be written by its owner", hint)]
    return []


def _owner_writes(path: Path, facts: os.stat_result) -> bool:
    """Root may always; for itself a user is asked, for others their bits are read."""
    if not hasattr(os, "geteuid") or facts.st_uid == os.geteuid():
        return os.access(path, os.W_OK)
    return facts.st_uid == 0 or bool(facts.st_mode & 0o200)


def _solved_again(subject: Subject) -> Measure:
    """How far the head in use is from what the corrections give when they are solved again."""
    artifact, keeper, serving = subject.artifact(), subject.keeper(), subject.sound()
    subject.engine()
    return subject.health.measure("state_difference", fold_difference(artifact, keeper, serving))
