"""`edge-export advise`: every candidate that time allows is trained and judged by cross-validation on cached values of the frozen part."""

from __future__ import annotations

import copy
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import InputError
from export import fresh, halves, source
from export.advice import NOTHING, SCRATCH, Advice, Row, recommend
from export.dataset import Picture, Progress, batch_size, split
from export.ladder import Candidate, ladder
from export.looks import PLAIN, Kept, Seeing
from export.plan import BuildPlan, Prepared, load
from export.policy import REINIT, Policy, resolve
from export.recipe import Recipe
from export.source import Source
from export.training import Trainee, evaluate, train

FOLDS = 5
LEAST_FOLDS = 2
EXPECTED_PASSES = 15  # until training stops by itself, for the estimate
RECIPE = Recipe(epochs=30, patience=4)
MEMORY_BYTES = 2 << 30
Folds = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Study:
    """What every candidate is measured with."""

    plan: BuildPlan
    prepared: Prepared
    last_layer: str
    pictures: tuple[Picture, ...]
    folds: dict[str, int]  # by the pictures' digests
    ends: float
    progress: Progress

    @property
    def count(self) -> int:
        return max(self.folds.values()) + 1


@dataclass(frozen=True, eq=False)
class _Subject:
    """One candidate, ready to be trained."""

    source: Source
    policy: Policy
    opened: halves.Halves
    trainee: Trainee


def advise(plan: BuildPlan, minutes: float, progress: Progress) -> Advice:
    """Measure what time allows, and say what to train.

    Args:
        plan: as for `build`; its output is not looked at.
        minutes: what measuring may take.
        progress: told how far it is.

    Returns:
        The advice; nothing is written.

    Raises:
        UsageError: the plan itself is wrong.
        InputError: weights, labels or pictures cannot be used, or are too few to fold.
    """
    started = time.monotonic()
    prepared = load(plan)
    last_layer = source.last_layer_name(plan.model)
    new_task = prepared.policy is not None and prepared.policy.new_task
    found = split(prepared.folders, prepared.labels, plan.limit, progress)
    pictures = tuple({picture.digest: picture for picture in (*found.sentinel, *found.statistics)}.values())
    folds = folded(pictures, plan.seed)
    candidates = ladder(prepared.network.module, halves.trace(prepared.network.module), last_layer, new_task)
    study = _Study(plan, prepared, last_layer, pictures, folds, started + 60 * minutes, progress)
    rows = tuple(_row(study, candidate) for candidate in candidates)
    per_class = {folder.name: len(folder.files) for folder in prepared.folders}
    samples, least = sum(per_class.values()), min(per_class.values())
    rule, chosen, reason = recommend(rows, samples, len(prepared.labels), least)
    network = prepared.network
    return Advice(network.name, network.parameters, samples, len(pictures), per_class, rows, rule, chosen, reason)


def folded(pictures: Sequence[Picture], seed: int) -> dict[str, int]:
    """The fold of each picture by its digest, every label spread evenly over them.

    Args:
        pictures: of at least two labels.
        seed: of who comes into which.

    Raises:
        InputError: some label has too few pictures.
    """
    by_label: dict[int, list[str]] = defaultdict(list)
    for picture in pictures:
        by_label[picture.label].append(picture.digest)
    least = min(len(digests) for digests in by_label.values())
    if least < LEAST_FOLDS + 1:
        raise InputError(f"a label has {least} different pictures, advise needs at least {LEAST_FOLDS + 1} of each", "give more in --data")
    rng, folds = np.random.default_rng(seed), dict[str, int]()
    for _, digests in sorted(by_label.items()):
        folds |= {str(digest): place % min(FOLDS, least) for place, digest in enumerate(rng.permutation(sorted(digests)))}
    return folds


def _row(study: _Study, candidate: Candidate) -> Row:
    started = time.monotonic()
    subject = _subject(study, candidate)
    seeing = Seeing(subject.opened.below, study.prepared.spec, study.plan.limits, False, study.plan.seed)
    try:
        seconds, memory = _estimate(study, subject, seeing)
        if memory > MEMORY_BYTES:
            too_much = f"what enters it, {memory / 1e9:.1f} GB, is kept in memory: give a smaller --limit or --input-size"
            return Row(candidate.name, candidate.options, candidate.parameters, None, None, 0, seconds, too_much)
        if time.monotonic() + seconds > study.ends:
            too_long = f"would take about {_minutes(seconds)}, more than is left of --minutes"
            return Row(candidate.name, candidate.options, candidate.parameters, None, None, 0, seconds, too_long)
        kept, readable = Kept.of(seeing.see(study.pictures, PLAIN, batch_size(study.prepared.spec)))
        folds = np.array([study.folds[picture.digest] for picture in readable])
        accuracies = _measured(study, candidate, subject, kept, folds)
    except InputError as error:
        if "diverged" not in error.message:
            raise
        return Row(candidate.name, candidate.options, candidate.parameters, None, None, 0, time.monotonic() - started, error.message)
    taken, mean, deviation = time.monotonic() - started, float(np.mean(accuracies)), float(np.std(accuracies, ddof=1))
    return Row(candidate.name, candidate.options, candidate.parameters, mean, deviation, len(accuracies), taken)


def _subject(study: _Study, candidate: Candidate) -> _Subject:
    """A candidate on the network itself; from scratch on a copy."""
    network, prepared = study.prepared.network, study.prepared
    if candidate.name == SCRATCH:
        network = Source(network.name, copy.deepcopy(network.module), network.weights)
    policy = resolve(network.module, candidate.choices, study.last_layer)
    if candidate.name == SCRATCH:
        fresh.begin_anew(network, policy, len(prepared.labels), prepared.spec, study.plan.seed)
    graph = halves.trace(network.module)
    used = {id(number) for number in graph.parameters()}
    trained = [(number, action) for _, number, action in policy.trained(network.module) if id(number) in used]
    opened = halves.open_below(graph, frozenset(id(number) for number, _ in trained))
    trainee = Trainee(
        opened.above,
        [number for number, action in trained if action != REINIT],
        [number for number, action in trained if action == REINIT],
        lambda training: policy.set_modes(network.module, training),
    )
    return _Subject(network, policy, opened, trainee)


def _estimate(study: _Study, subject: _Subject, seeing: Seeing) -> tuple[float, int]:
    """Seconds that measuring would take, and bytes that would be kept: from one batch, seen and learned from."""
    size, count = min(RECIPE.batch, len(study.pictures)), len(study.pictures)
    seen = float("inf")
    for _ in range(2):  # the first look also warms up
        before = time.monotonic()
        one, _ = Kept.of(seeing.see(study.pictures[:: len(study.pictures) // size][:size], PLAIN, size))
        seen = min(seen, (time.monotonic() - before) / size)
    memory = one.values[0].numel() * one.values.element_size() * count
    if not (subject.trainee.finetuned or subject.trainee.renewed):
        return seen * count, memory
    state = {name: value.clone() for name, value in subject.opened.above.state_dict().items()}
    before = time.monotonic()
    train(subject.trainee, one, one, Recipe(epochs=2), study.plan.seed, lambda *_: None)
    step = (time.monotonic() - before) / 2 / len(one.labels)  # with a look at as many held-out pictures: an upper bound
    subject.opened.above.load_state_dict(state)
    return seen * count + step * EXPECTED_PASSES * count * (study.count - 1), memory


def _measured(study: _Study, candidate: Candidate, subject: _Subject, kept: Kept, folds: Folds) -> list[float]:
    """Accuracy of each fold; fewer than all where time runs out."""
    state = {name: value.clone() for name, value in subject.opened.above.state_dict().items()}
    found: list[float] = []
    stage = f"measuring: {candidate.name}"
    for fold in range(study.count):
        study.progress(stage, fold, study.count)
        if len(found) >= LEAST_FOLDS and time.monotonic() > study.ends:
            break
        if candidate.name != NOTHING:
            _train(study, subject, kept, np.flatnonzero(folds != fold))
        found.append(evaluate(subject.trainee, kept.at(np.flatnonzero(folds == fold)).batches(0, None, 256))[1])
        subject.opened.above.load_state_dict(state)
    study.progress(stage, study.count, study.count)
    return found


def _train(study: _Study, subject: _Subject, kept: Kept, places: Folds) -> None:
    """One fold; every fifth of its pictures, of each label, decides when to stop."""
    order = places[np.argsort(kept.labels.numpy()[places], kind="stable")]
    held = np.arange(len(order)) % round(1 / RECIPE.held_out) == 0
    train(subject.trainee, kept.at(order[~held]), kept.at(order[held]), RECIPE, study.plan.seed, lambda *_: None)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"

