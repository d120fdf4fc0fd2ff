"""What is measured of a rule: single corrections and streams of them.

Each follows one question of a user: is the picture right afterwards, are its re-shots, what became of everything else?
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from photos import RESHOTS, Photo, Site, from_any_site, reshot
from PIL import Image
from rules import Product, Rule

from edge_agent import EdgeAgent, Prediction
from edge_agent.head import softmax
from edge_agent.runtime import Seen, stacked

STREAM = 200


@dataclass(frozen=True)
class Scene:
    """Photos as the backbone sees them: those to correct, and others to judge by.

    Attributes:
        name: "clean", "field" (one installation) or "many cameras" (each photo from another).
        pool: predictions of the factory head for photos that may be corrected.
        pool_labels: their true labels.
        images: the same photos, for re-shots.
        others, other_labels: photos that are never corrected, clean.
        field, field_labels: the same in the field.
    """

    name: str
    pool: list[Prediction]
    pool_labels: NDArray[np.int64]
    images: list[Image.Image]
    others: Seen
    other_labels: NDArray[np.int64]
    field: Seen
    field_labels: NDArray[np.int64]


def seen_in(predictions: Sequence[Prediction]) -> Seen:
    """Many pictures as one batch of what the backbone saw."""
    return stacked([prediction.seen for prediction in predictions])


def png(image: Image.Image) -> bytes:
    """The image as a file, without loss: a prediction of a file can have views."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def scenes(agent: EdgeAgent, pool: Sequence[Photo], others: Sequence[Photo], seed: int) -> Iterator[Scene]:
    """The same photos clean, at one installation in the field, and each from an installation of its own; one scene after the other."""
    rng = np.random.default_rng(seed)
    site = Site.drawn(rng)
    places = {label: place for place, label in enumerate(agent.labels)}
    pool_labels, labels = (np.array([places[photo.label] for photo in group]) for group in (pool, others))
    clean = seen_in([agent.predict(photo.image()) for photo in others])
    field = seen_in([agent.predict(site.photo(photo.image(), rng)) for photo in others])
    for name, take in (("clean", untouched), ("field", site.photo), ("many cameras", from_any_site)):
        images = [take(photo.image(), rng) for photo in pool]
        judged = field if name != "many cameras" else seen_in([agent.predict(take(photo.image(), rng)) for photo in others])
        yield Scene(name, [agent.predict(png(image)) for image in images], pool_labels, images, clean, labels, judged, labels)


def untouched(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The picture as it is."""
    return image


def accuracy(rule: Rule, seen: Seen, labels: NDArray[np.int64]) -> float:
    """Share of right labels, in percent."""
    return float((rule.logits(seen).argmax(1) == labels).mean() * 100)


def single(agent: EdgeAgent, scene: Scene, make: Callable[[], Rule], seed: int, count: int) -> dict[str, float]:
    """One correction from the factory head, `count` times."""
    rng = np.random.default_rng(1000 + seed)
    labels = scene.pool_labels
    wrong = [i for i in rng.permutation(len(labels)) if scene.pool[i].label != agent.labels[labels[i]]][:count]
    untouched = make()
    before = untouched.logits(scene.others).argmax(1)
    rows = []
    for i in wrong:
        rule, label = make(), int(labels[i])
        views = seen_in([agent.predict(reshot(scene.images[i], rng)) for _ in range(RESHOTS)])
        started = time.perf_counter()
        rule.correct(scene.pool[i], label)
        elapsed_ms = (time.perf_counter() - started) * 1e3
        own = softmax(rule.logits(scene.pool[i].seen))[0]
        after = rule.logits(scene.others).argmax(1)
        change = ((after == scene.other_labels).mean() - (before == scene.other_labels).mean()) * 100
        shots, shots_before = ((r.logits(views).argmax(1) == label).mean() * 100 for r in (rule, untouched))
        rows.append((own.argmax() == label, own[label], shots_before, shots, (after == before).mean() * 100, change, elapsed_ms))
    table = np.array(rows, float)
    names = ("right after %", "p after", "re-shots before %", "re-shots right %", "others unchanged %", "accuracy change", "correction ms")
    result = dict(zip(names, table.mean(0).tolist(), strict=True))
    result["right after %"] *= 100
    result["correction ms"] = float(np.median(table[:, 6]))
    return {**result, "least p": float(table[:, 1].min()), "worst change": float(table[:, 5].min()), "corrections": len(wrong)}


def beside_a_pass(agent: EdgeAgent, reference: EdgeAgent, scene: Scene, remembered: int = 32) -> dict[str, float]:
    """Time of one correction with so many remembered, its prediction done before and the disk left out, beside a backbone pass.

    The two are timed in turn, so that a machine that changes its speed changes both.
    """
    rule = Product(agent)
    truths = [agent.labels[label] for label in scene.pool_labels]
    wrong = [(seen, truth) for seen, truth in zip(scene.pool, truths, strict=True) if seen.label != truth]
    for seen, label in wrong[:remembered]:
        rule.agent.correct(seen, label)
    height, width = reference.artifact.manifest.image.crop_px
    images = np.random.default_rng(0).normal(size=(1, 3, height, width)).astype(np.float32)
    corrections, passes = [], []
    for seen, label in wrong[remembered : remembered + 60]:
        corrections.append(rule.agent.correct(seen, label, dry_run=True).elapsed_ms)
        started = time.perf_counter()
        reference.run_backbone(images)
        passes.append((time.perf_counter() - started) * 1e3)
    correction, one_pass = float(np.median(corrections)), float(np.median(passes))
    return {"correction ms": correction, "pass ms": one_pass, "ratio": correction / one_pass}


def stream(scene: Scene, make: Callable[[], Rule], seed: int, length: int = STREAM) -> dict[str, float]:
    """Every mistake that the changing classifier makes on a stream of photos is corrected, until `length` of them are."""
    rule, taught, times = make(), list[int](), list[float]()
    start = {"clean before %": accuracy(rule, scene.others, scene.other_labels)}
    start["field before %"] = accuracy(rule, scene.field, scene.field_labels)
    for i in np.random.default_rng(2000 + seed).permutation(len(scene.pool)):
        label = int(scene.pool_labels[i])
        if rule.logits(scene.pool[i].seen)[0].argmax() == label:
            continue
        started = time.perf_counter()
        rule.correct(scene.pool[i], label)
        times.append((time.perf_counter() - started) * 1e3)
        taught.append(int(i))
        if len(taught) == length:
            break
    kept = accuracy(rule, seen_in([scene.pool[i] for i in taught]), scene.pool_labels[taught])
    return {
        **start, "clean after %": accuracy(rule, scene.others, scene.other_labels),
        "field after %": accuracy(rule, scene.field, scene.field_labels), "edits kept %": kept, "corrections": len(taught),
        "refused": float(getattr(rule, "refused", 0)), "correction ms": float(np.mean(times)),
    }  # fmt: skip
