"""Classes added on the device: one of the network's is taken away, and taught again from a few photos.

The network has seen the class in its training, only its row of the last layer is gone: easier than a class that it never saw, so what
is measured here is the rule, not the network.
"""

from __future__ import annotations

import numpy as np
from measures import Scene
from numpy.typing import NDArray
from pupil import Pupil
from safetensors.numpy import load

from edge_agent import EdgeAgent
from edge_agent.artifact import Statistics
from edge_agent.runtime import Seen
from export import statistics

SHOTS = (1, 5, 10)
CLASSES = 3  # taken away in turn, for each seed


def pupil_without(agent: EdgeAgent, missing: int, fitting: Seen, labels: NDArray[np.int64]) -> Pupil:
    """The learner of an artifact whose network has no row for one class.

    Args:
        agent: of an artifact with a linear last layer.
        missing: the class.
        fitting: photos that are used for nothing else, for the class scalars.
        labels: their labels.

    Returns:
        A pupil with one class less; the others move up.
    """
    manifest, known = agent.artifact.manifest, agent.artifact.statistics
    layer = load(agent.artifact.read("last_layer.safetensors"))
    kept = np.delete(np.arange(manifest.classes), missing)
    places = np.cumsum(np.arange(manifest.classes) != missing) - 1
    weight, bias = (layer[name][kept] / np.float32(manifest.temperature) for name in ("weight", "bias"))
    own, train = known.sentinel_labels != missing, labels != missing
    sentinel, truth = known.sentinel_logits[own][:, kept], places[known.sentinel_labels[own]]
    facts = statistics.new_class(weight, bias, fitting.features[train], places[labels[train]], sentinel, truth)
    arrays = Statistics(
        known.sentinel_context[own], sentinel, known.sentinel_features[own], truth.astype(np.int32), known.leak_exponents, known.leak,
        fitting.features[train].mean(0), weight.mean(0), sentinel[:1],
    )  # fmt: skip
    return Pupil(len(kept), manifest.capacity, arrays, facts, agent.settings)


def new_class(agent: EdgeAgent, scene: Scene, fitting: Seen, labels: NDArray[np.int64], seed: int) -> dict[str, float]:
    """Recall of the new class and change of the old ones' accuracy after 1, 5 and 10 shots, the mean over some classes, in percent.

    Classes with fewer photos than shots are not taken; nothing is found where there is none with enough.
    """
    rng = np.random.default_rng(3000 + seed)
    found: dict[str, list[float]] = {}
    enough = np.flatnonzero(np.bincount(scene.pool_labels, minlength=agent.artifact.manifest.classes) >= max(SHOTS))
    for missing in rng.permutation(enough)[:CLASSES]:
        pupil = pupil_without(agent, missing, fitting, labels)
        kept = np.delete(np.arange(agent.artifact.manifest.classes), missing)
        others, own = _narrowed(scene.others, kept), scene.other_labels == missing
        truth = np.searchsorted(kept, scene.other_labels)
        before = (pupil.head.logits(others).argmax(1) == truth)[~own].mean()
        column = pupil.add_class()
        shots = rng.permutation(np.flatnonzero(scene.pool_labels == missing))[: max(SHOTS)]
        for count, place in enumerate(shots, 1):
            pupil.correct(_narrowed(scene.pool[place].seen, kept), column)
            if count in SHOTS:
                answers = pupil.head.logits(others).argmax(1)
                found.setdefault(f"{count}: recall %", []).append((answers[own] == column).mean() * 100)
                found.setdefault(f"{count}: old, change", []).append(((answers == truth)[~own].mean() - before) * 100)
    return {name: float(np.mean(values)) for name, values in found.items()}


def _narrowed(seen: Seen, kept: NDArray[np.int64]) -> Seen:
    return Seen(np.ascontiguousarray(seen.logits[:, kept]), seen.features, seen.context)
