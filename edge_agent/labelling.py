"""Classes added and removed on the device: one transaction each, and a head with the columns that there are then."""

from __future__ import annotations

from edge_agent.errors import LabelError
from edge_agent.journal import Journal
from edge_agent.keeper import HeadKeeper, Serving
from edge_agent.label_rules import check_new_label


def add_label(keeper: HeadKeeper, journal: Journal, name: str, spare_classes: int) -> int:
    """Add a class behind the ones that are there.

    Args:
        keeper: solves and publishes.
        journal: of the same state.
        name: 1 to 128 printable characters, not a label yet.
        spare_classes: how many the artifact has in all.

    Returns:
        How many spare classes are left.

    Raises:
        LabelError: the name is taken or cannot be a label, or no spare class is left.
        StateError: the state cannot be written.
    """
    _refuse_taken(keeper.current(), name, spare_classes)
    with journal.writing() as writer:
        serving = keeper.current()  # another process may have been first
        _refuse_taken(serving, name, spare_classes)
        writer.add_label(name)
        evidence, labels = keeper.evidence(serving), (*serving.labels, name)
        after = keeper.publish(writer, "add label", evidence, labels, keeper.solve(evidence, labels))
    keeper.adopt(after)
    return spare_classes - len(after.head.added)


def remove_label(keeper: HeadKeeper, journal: Journal, name: str, spare_classes: int) -> int:
    """Remove a class that was added here and that no active correction names.

    Returns:
        How many spare classes are left.

    Raises:
        LabelError: no such label, one of the factory's, or one with active corrections; undo those first.
        StateError: the state cannot be written.
    """
    _refuse_kept(keeper, keeper.current(), name)
    with journal.writing() as writer:
        serving = keeper.current()
        _refuse_kept(keeper, serving, name)
        records = journal.records()  # by name: the columns behind the removed one move
        writer.remove_label(name)
        labels = tuple(label for label in serving.labels if label != name)
        evidence = keeper.as_evidence(records, labels)
        after = keeper.publish(writer, "remove label", evidence, labels, keeper.solve(evidence, labels))
    keeper.adopt(after)
    return spare_classes - len(after.head.added)


def _refuse_taken(serving: Serving, name: str, spare_classes: int) -> None:
    check_new_label(name, serving.labels, spare_classes - len(serving.head.added))


def _refuse_kept(keeper: HeadKeeper, serving: Serving, name: str) -> None:
    if name not in serving.labels:
        raise LabelError(f"label {name!r:.130} does not exist", "see edge-agent labels")
    place = serving.labels.index(name)
    if place < keeper.factory_labels:
        raise LabelError(f"label {name!r} is one of the network's own", "only labels added on the device can be removed")
    numbers = [str(evidence.id) for evidence in keeper.evidence(serving) if evidence.label == place]
    if numbers:
        shown = ", ".join(numbers[:8]) + (", …" if len(numbers) > 8 else "")
        raise LabelError(f"label {name!r} has {len(numbers)} active corrections: {shown}", "undo them first")
