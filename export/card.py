"""The model card: `README.md` of the artifact, in Markdown, for people who did not build it; no program reads it.

It says nothing of the workstation and no time, so that the same input gives the same bytes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.manifest import Manifest
from export.learned import Learned
from export.reliability import FloatArray, IndexArray, interval, reliability

CARD = "README.md"
LABELS_SHOWN = 200
UNSTATED = (
    "Not stated. The terms of the weights and of the pictures are not known to the program that made this; whoever hands the artifact on "
    "should look them up and name them (`edge-export build --licence TEXT`)."
)


@dataclass(frozen=True)
class Known:
    """What the card needs beside the manifest.

    Attributes:
        labels: in the order of the logits.
        shown: pictures of each label that the statistics rest on, `[C]`.
        sentinel_logits: `[Q, C]`, calibrated.
        sentinel_labels: `[Q]`.
        learned: what was trained before, or None.
        random: whether the weights are random.
        licence: as the user named it, or None.
    """

    labels: tuple[str, ...]
    shown: IndexArray
    sentinel_logits: FloatArray
    sentinel_labels: IndexArray
    learned: Learned | None = None
    random: bool = False
    licence: str | None = None


def card(manifest: Manifest, known: Known) -> bytes:
    """The content of `README.md`.

    Args:
        manifest: of the artifact, without its card.
        known: what else is said.
    """
    sections = (
        [f"# {_text(manifest.model.name)}: {manifest.classes} labels, corrected on the device", "", _WHAT],
        ["## Network", "", *_network(manifest, known)],
        ["## Pictures and accuracy", "", *_accuracy(manifest, known)],
        ["## What it may learn on the device", "", *_learning(manifest)],
        ["## Limits", "", *_limits(manifest, known)],
        ["## How it was made", "", *_made(manifest)],
        ["## Licence", "", _text(known.licence) if known.licence else UNSTATED],
    )
    return ("\n\n".join("\n".join(lines) for lines in sections) + "\n").encode()


_WHAT = (
    "A frozen image classifier with what `edge-agent` needs to learn from one corrected picture: an artifact of the distribution "
    "`onnx-edge-agent`. Use it with `edge-agent --artifact DIR predict PICTURE`."
)


def _network(manifest: Manifest, known: Known) -> list[str]:
    model, image = manifest.model, manifest.image
    crop, given = "×".join(map(str, image.crop_px)), "random, never trained" if known.random else "given by the builder"
    lines = [
        f"- {_text(model.name)}, {model.parameters:,} parameters, last layer `{_text(model.last_layer)}` ({model.last_layer_kind}).",
        f"- Weights: {given}; SHA-256 of their tensors `{model.weights_sha256}`.",
        f"- Input: {crop} px, from the middle of the picture after its shorter side was made {image.resize_px} px ({image.interpolation}).",
        _trained(known.learned, model.parameters),
    ]
    if manifest.quantization is not None:
        small = manifest.quantization
        both = f"{small.accuracy:.1%} right, {small.float_accuracy:.1%} in float32, on the same {small.pictures:,} pictures"
        lines.append(f"- Quantised to {small.kind}: {both}.")
    parity = manifest.parity
    differences = f"{parity.logits:.1e} of a logit, {parity.context:.1e} of a context, {parity.gradient:.1e} after gradient steps"
    lines.append(f"- Greatest difference to PyTorch on {parity.pictures} pictures: {differences}.")
    return lines


def _trained(learned: Learned | None, parameters: int) -> str:
    if learned is None:
        return "- Trained for this artifact: nothing; every layer is as it was given, and frozen."
    before, best = learned.before, learned.best
    accuracies = f"{before.held_out_accuracy:.1%} right before, {best.held_out_accuracy:.1%} after, on {learned.held_out:,} held out"
    share = f"{learned.trained:,} of {parameters:,} parameters"
    layers, passes = _text(", ".join(learned.layers)), f"{learned.pictures:,} pictures, {best.number} passes"
    return f"- Trained for this artifact: {layers} ({share}) on {passes}; {accuracies}."


def _accuracy(manifest: Manifest, known: Known) -> list[str]:
    right = known.sentinel_logits.argmax(axis=1) == known.sentinel_labels
    low, high = interval(int(right.sum()), len(right))
    held = "which the statistics do not rest on" if manifest.sentinel.held_out else "some of which the statistics rest on"
    before = reliability(known.sentinel_logits * np.float32(manifest.temperature), known.sentinel_labels).error
    after = reliability(known.sentinel_logits, known.sentinel_labels).error
    return [
        f"- Sentinel: {len(right)} pictures, {held}; {right.mean():.1%} right (95 % interval {low:.1%} to {high:.1%}).",
        f"- Statistics: {manifest.statistics.pictures:,} pictures; {manifest.statistics.unreadable} more could not be read.",
        f"- Calibration: logits are divided by {manifest.temperature:.3f}; expected calibration error {before:.3f} before, {after:.3f} "
        "after, on the sentinel, which the divisor was fitted to.",
        "",
        *_by_label(known, right),
    ]


def _by_label(known: Known, right: NDArray[np.bool_]) -> list[str]:
    own = np.bincount(known.sentinel_labels, minlength=len(known.labels))
    hits = np.bincount(known.sentinel_labels[right], minlength=len(known.labels))
    lines = ["| label | statistics pictures | sentinel pictures right |", "|---|---:|---:|"]
    for place, label in enumerate(known.labels[:LABELS_SHOWN]):
        judged = f"{hits[place]} of {own[place]}" if own[place] else "none shown"
        lines.append(f"| {_text(label)} | {known.shown[place]} | {judged} |")
    if len(known.labels) > LABELS_SHOWN:
        lines += ["", f"{len(known.labels) - LABELS_SHOWN} more labels stand in `labels.txt`."]
    return lines


def _learning(manifest: Manifest) -> list[str]:
    more = f"{manifest.spare_classes} classes can be added there." if manifest.spare_classes else "No class can be added there."
    return [
        "The network never changes. A correction adds a term that fades with the distance to the corrected picture; it is accepted only if "
        f"the sentinel shows no harm, and can be taken back. {manifest.capacity} corrections are remembered one by one, older ones merged. "
        + more,
    ]


def _limits(manifest: Manifest, known: Known) -> list[str]:
    lines = [
        "- It answers with one of its labels whatever the picture shows; a low probability is the only sign that none fits.",
        "- Whether the network was trained on these pictures is not known here. If it was, new ones will be right less often.",
        "- Its accuracy was measured on pictures like those of the builder, and on no others: another camera, light or place may do worse.",
        "- Not measured: people, groups of people, and anything that safety or rights depend on.",
        "- `golden/` holds pictures from the builder's data, at up to twice the input's size.",
    ]
    if known.random:
        lines.insert(0, "- **The weights are random: its predictions mean nothing.**")
    return lines + [f"- {_text(warning[:1].upper() + warning[1:])}." for warning in manifest.statistics.warnings]


def _made(manifest: Manifest) -> list[str]:
    versions = dataclasses.asdict(manifest.producer)
    named = ", ".join(f"{name.replace('_', '-')} {version}" for name, version in versions.items())
    return [f"By `edge-export build` with {named}. `edge-export verify DIR` checks every file and runs it; `manifest.json` has the rest."]


def _text(value: str) -> str:
    """A name from outside as plain text: nothing in it is Markdown or HTML."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|&" else letter for letter in value)

