"""What is uncertain about an artifact, in sentences that go into its manifest and onto the screen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from export.corrections import Home
from export.dataset import Split, Unreadable
from export.learned import Learned
from export.measure import Measured
from export.statistics import collapsed

FEW_PICTURES = 2_000
FEW_PER_CLASS = 5
SHOWN = 3


def of_labels(absent: Sequence[str], total: int) -> list[str]:
    """Labels that the network knows and the pictures do not show."""
    if not absent:
        return []
    return [f"{len(absent)} of {total} labels have no pictures ({_some(absent)}): corrections towards them are not watched by the sentinel"]


def of_pictures(split: Split, measured: Measured, labels: Sequence[str], unreadable: Sequence[Unreadable]) -> list[str]:
    """Too few pictures, unreadable ones, contradictory ones."""
    found: list[str] = []
    count = len(measured.pictures)
    per_class = np.bincount(measured.labels, minlength=len(labels))
    scarce = [label for label, number in zip(labels, per_class, strict=True) if 0 < number < FEW_PER_CLASS]
    if count < FEW_PICTURES:
        found.append(
            f"the context rests on {count} pictures, fewer than {FEW_PICTURES}: "
            "a correction may reach pictures that it should not; give more in --data"
        )
    if scarce:
        found.append(f"{len(scarce)} labels have fewer than {FEW_PER_CLASS} pictures ({_some(scarce)}): their statistics are rough")
    if not split.held_out:
        found.append("some labels have one picture only: sentinel pictures serve as statistics too, so the guard sees too little leak")
    if unreadable:
        found.append(f"{len(unreadable)} pictures could not be read ({_some([picture.name for picture in unreadable])})")
    if split.contradicted:
        found.append(f"{split.contradicted} pictures lie in the folders of two labels: one of them is wrong")
    return found


def of_corrections(home: Home | None) -> list[str]:
    """Corrections of devices that were not used."""
    if home is None:
        return []
    found = [f"{len(home.contradictions)} corrected pictures have different labels: they were not used"] if home.contradictions else []
    if home.unknown:
        found.append(f"{len(home.unknown)} corrections have labels that the network has not ({_some(home.unknown)}): they were not used")
    if home.damaged:
        found.append(f"{len(home.damaged)} corrected pictures are missing or changed ({_some(home.damaged)})")
    return found


def of_learning(learned: Learned | None, absent: Sequence[str]) -> list[str]:
    """Training that did not help, or that saw some of the labels only."""
    if learned is None:
        return []
    found: list[str] = []
    if learned.kept == 0:
        found.append(
            f"training did not help: none of {len(learned.curve) - 1} passes lowered the loss on the {learned.held_out} held-out pictures, "
            "so the network is as it was; give more pictures, a smaller --learning-rate or train fewer layers"
        )
    if absent:
        found.append(f"{len(absent)} labels had no pictures to train on ({_some(absent)}): the network may have unlearned them")
    return found


def all_learned(learned: Learned | None) -> bool:
    """Whether every parameter was trained, so that none is random any more."""
    return learned is not None and learned.trained == learned.parameters and learned.kept > 0


def of_results(leak: NDArray[np.float32], accuracy: float, classes: int, random: bool) -> list[str]:
    """What the finished numbers give away: collapsed features, accuracy of chance or beyond belief, random weights."""
    found: list[str] = []
    if random:
        found.append("the weights are random (--weights none): good for trying out, not for use")
    elif accuracy < min(0.5, 2 / classes):
        found.append(
            f"the network is right on {accuracy:.1%} of the sentinel only: check the order of --labels, --mean, --std and --input-size"
        )
    if accuracy == 1.0 and not random:
        found.append(
            "the network is right on the whole sentinel, so its confidence cannot be measured and may be shown too high: "
            "give pictures in --data that it was not trained on"
        )
    if collapsed(leak):
        found.append(
            "features collapsed: the context hardly tells pictures apart, so corrections reach too far; "
            "more or other pictures in --data, a larger --input-size or a network with earlier stages help"
        )
    return found


def _some(names: Sequence[str]) -> str:
    more = ", …" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
