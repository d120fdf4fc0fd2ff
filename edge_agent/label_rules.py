"""Which labels a correction may name, and which may be added."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from edge_agent.errors import LabelError
from edge_agent.manifest import label_fault


def check_label(label: str, labels: Sequence[str], spare: int, new_label: bool) -> None:
    """Refuse a label that a correction cannot have.

    Args:
        label: what the person said.
        labels: the labels that there are.
        spare: how many classes can still be added.
        new_label: whether a label that does not exist is to be added.

    Raises:
        LabelError: the label is no text, empty or not printable, or unknown and not to be added; the message names near ones.
    """
    _check_kind(label)
    if label in labels:
        return
    if new_label:
        check_new_label(label, labels, spare)
        return
    _check_text(label)
    folded = {name.casefold(): name for name in labels}
    near = [folded[name] for name in difflib.get_close_matches(label.casefold(), folded, n=3, cutoff=0.5)]
    known = f"near ones are {', '.join(near)}" if near else f"the labels are {', '.join(labels[:12])}{', …' if len(labels) > 12 else ''}"
    raise LabelError(f"label {label!r} is not one of the {len(labels)} labels: {known}", "to add it as a class: --new-label")


def check_new_label(label: str, labels: Sequence[str], spare: int) -> None:
    """Refuse a label that cannot be added.

    Raises:
        LabelError: it is no text, empty, not printable or taken, or no spare class is left.
    """
    _check_kind(label)
    _check_text(label)
    if label in labels:
        raise LabelError(f"label {label!r} exists already", "correct a picture with it")
    if spare < 1:
        hint = "remove an added label that is not used, or build the artifact with more --spare-classes"
        full = f"all spare classes of the artifact are used, {len(labels)} labels are its most"
        raise LabelError(f"label {label!r} cannot be added: {full}", hint)


def _check_kind(label: object) -> None:
    """Callers in Python may give anything."""
    if not isinstance(label, str):
        raise LabelError(f"the label is {label!r:.40}, expected text", "give the label's name")


def _check_text(label: str) -> None:
    fault = label_fault(label)
    if fault is not None:
        raise LabelError(f"label {label[:40]!r} {fault}", "give 1 to 128 printable characters")
