"""The report's sections: facts become sentences, tables, charts and pictures."""

from __future__ import annotations

import dataclasses

import numpy as np

from export import report_html as html
from export.effect import Effect
from export.learned import Learned
from export.reliability import confusion_matrix, confusions, interval, reliability
from export.report_charts import learning_chart, reliability_chart
from export.report_facts import Facts

MATRIX_LABELS = 20  # more do not fit onto a page: then the most frequent mistakes are listed
MISTAKES = 20
LABELS = 200
FILES = 40
ACTIONS = {"freeze": "freeze", "finetune": "fine-tune", "reinit": "re-initialise"}


def body(facts: Facts) -> str:
    """The whole page, without its frame."""
    return "".join((
        _head(facts), _warnings(facts), _layers(facts), _learning(facts.learned), _accuracy(facts), _confusion(facts), _worst(facts),
        _effect(facts.effect, len(facts.truths)), _quantised(facts), _parity(facts), _files(facts), _made(facts),
    ))  # fmt: skip


def _head(facts: Facts) -> str:
    manifest = facts.artifact.manifest
    right, of = int((facts.logits.argmax(axis=1) == facts.truths).sum()), len(facts.truths)
    low, high = interval(right, of)
    size = sum(entry.bytes for entry in manifest.files.values())
    under = f"{manifest.classes} labels, {'×'.join(map(str, manifest.image.crop_px))} px; artifact {facts.artifact.digest[:16]}"
    values = [
        ("Right on the sentinel", f"{right / of:.1%}", f"{right} of {of}; 95 % interval {low:.0%} to {high:.0%}"),
        ("Calibration error", f"{reliability(facts.logits, facts.truths).error:.3f}", "said against what holds, 0 is best"),
        ("Difference to PyTorch", f"{manifest.parity.logits:.1g}", f"of a logit, on {manifest.parity.pictures} pictures"),
        ("Size", f"{size / 1e6:.1f} MB", f"{manifest.model.parameters:,} parameters"),
    ]
    if facts.effect is not None and facts.effect.taught:
        shots = facts.effect
        values.append(("A correction", f"{shots.right} of {shots.taught}", "mistakes right after one lesson each"))
    return f'<h1>{html.text(manifest.model.name)}</h1><p class="under">{html.text(under)}</p>{html.tiles(values)}'


def _warnings(facts: Facts) -> str:
    found = [*facts.warnings, *(f"not read: {picture}" for picture in facts.unreadable[:10])]
    content = html.section("What is uncertain", html.listing([f"{line[:1].upper()}{line[1:]}" for line in found]))
    return content.replace("<section ", '<section class="warnings" ', 1)


def _layers(facts: Facts) -> str:
    learned, total = facts.learned, max(1, sum(part.parameters for part in facts.parts))
    if learned is None:
        said = "Nothing was trained here: every layer is as it was given, and frozen."
    else:
        choices = ", ".join(f"{ACTIONS.get(choice.action, choice.action)} {choice.layers}" for choice in learned.choices)
        share = f"{learned.trained:,} of {learned.parameters:,} parameters ({learned.trained / max(1, learned.parameters):.1%})"
        said = f"Trained before freezing: {share} in {', '.join(learned.layers)}, as chosen: {choices}."
    rows = [
        (part.name, part.kind, f"{part.parameters:,}", f"{part.parameters / total:.1%}", f"{part.frozen:,}", part.action)
        for part in facts.parts
    ]
    table = html.table("Parts of the network, in its order", ("part", "kind", "parameters", "share", "frozen", "what was done"), rows)
    onwards = "On the device the whole network is frozen, whatever was chosen here; only the head of corrections learns."
    return html.section("Layers", html.paragraph(said, onwards), table)


def _learning(learned: Learned | None) -> str:
    if learned is None:
        return ""
    before, best = learned.before, learned.best
    said = (
        f"{learned.pictures:,} pictures were learned from; {learned.held_out:,} others, none of the sentinel, decided when to stop. "
        f"Right on those: {before.held_out_accuracy:.1%} before, {best.held_out_accuracy:.1%} after pass {best.number}, which was kept."
    )
    chart = learning_chart(learned.curve, learned.kept, f"Held-out accuracy after each pass, from {before.held_out_accuracy:.1%}")
    rows = [
        (epoch.number, "" if epoch.loss is None else f"{epoch.loss:.3f}", f"{epoch.held_out_loss:.3f}", f"{epoch.held_out_accuracy:.1%}")
        for epoch in learned.curve
    ]
    heads = ("pass", "training loss", "held-out loss", "held-out right")
    table = html.table("After each pass; 0 is the network before the first", heads, rows)
    return html.section("Learning curve", html.paragraph(said), f'<div class="pair">{chart}{table}</div>')


def _accuracy(facts: Facts) -> str:
    manifest, labels = facts.artifact.manifest, facts.artifact.labels
    after = reliability(facts.logits, facts.truths)
    before = reliability(facts.logits * np.float32(manifest.temperature), facts.truths).error
    said = (
        f"Logits are divided by {manifest.temperature:.3f}, fitted to the sentinel: expected calibration error {before:.3f} before, "
        f"{after.error:.3f} after. A bar on the dashed line is honest, one below it boasts; the fainter, the fewer pictures."
    )
    known = (
        "Whether the network was trained on these pictures is not known here. If it was, new ones will be right less often."
        if facts.learned is None else "These pictures were not learned from here; whether earlier training saw them is not known."
    )  # fmt: skip
    chart = reliability_chart(after.bins, f"Reliability diagram: expected calibration error {after.error:.3f}")
    hits = facts.logits.argmax(axis=1) == facts.truths
    own, right = (np.bincount(facts.truths[chosen], minlength=len(labels)) for chosen in (np.ones(len(hits), bool), hits))
    shown = [place for place in range(len(labels)) if own[place]][:LABELS]
    rows = [(labels[place], own[place], right[place], f"{right[place] / own[place]:.0%}") for place in shown]
    table = html.table("Sentinel pictures of each label", ("label", "pictures", "right", "share"), rows)
    return html.section("Accuracy and calibration", html.paragraph(said, known), f'<div class="pair">{chart}{table}</div>')


def _confusion(facts: Facts) -> str:
    labels, matrix = facts.artifact.labels, confusion_matrix(facts.logits, facts.truths)
    title = "What is taken for what"
    if len(labels) > MATRIX_LABELS:
        rows = [(labels[one.truth], labels[one.said], f"{one.count} of {one.of}") for one in confusions(matrix, MISTAKES)]
        table = html.table("The most frequent mistakes on the sentinel", ("it is", "the network says", "pictures"), rows) if rows else ""
        return html.section(title, table or html.paragraph("No mistake on the sentinel."))
    caption = "Rows: what it is. Columns: what the network says. Sentinel pictures."
    head = "".join(f'<th scope="col">{html.text(label)}</th>' for label in labels)
    lines = []
    for truth, label in enumerate(labels):
        total, cells = max(1, int(matrix[truth].sum())), []
        for said in range(len(labels)):
            count = int(matrix[truth, said])
            kind = "right" if truth == said else "wrong"
            cells.append(f'<td class="{kind}" style="--share:{count / total:.2f}">{count}</td>' if count else "<td></td>")
        lines.append(f'<tr><th scope="row">{html.text(label)}</th>{"".join(cells)}</tr>')
    table = (
        f'<table class="matrix"><caption>{caption}</caption><thead><tr><td></td>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table>"
    )
    return html.section(title, html.scrolling(caption, table))


def _worst(facts: Facts) -> str:
    items = []
    for one in facts.worst:
        picture = html.jpeg(one.jpeg, f"A sentinel picture of {one.truth}, taken for {one.said}")
        told = f"is <b>{html.text(one.truth)}</b> ({one.own:.1%}), it says <b>{html.text(one.said)}</b> {one.chance:.0%}"
        items.append(f"<li><figure>{picture}<figcaption>{told}</figcaption></figure></li>")
    intro = html.paragraph("Sentinel pictures whose true label is the least probable. A wrong label in the data is often among them.")
    return html.section("Worst pictures", f'{intro}<ul class="pictures">{"".join(items)}</ul>' if items else "")


def _effect(effect: Effect | None, sentinel: int) -> str:
    title = "What a correction does"
    if effect is None or not effect.taught:
        return html.section(title, html.paragraph("Nothing to teach: the network makes no mistake on the sentinel."))
    said = (
        f"Measured on this artifact with the agent itself: {effect.taught} of the {effect.mistakes} sentinel pictures that it gets wrong, "
        f"each corrected alone from the factory head and taken back again. The others are the {sentinel - 1} other sentinel pictures."
    )
    if not effect.accepted:
        return html.section(title, html.paragraph(said, "The guard refused every one of them: it would have harmed the others."))
    rows = [
        ("accepted by the guard", _of(effect.accepted, effect.taught)),
        ("the picture is right afterwards", _of(effect.right, effect.taught)),
        ("probability of its label afterwards, median and least", f"{effect.median:.2f}, {effect.least:.2f}"),
        ("re-shots right before: moved, lit otherwise, half of them flipped", _of(effect.reshots_before, effect.reshots)),
        ("re-shots right afterwards", _of(effect.reshots_after, effect.reshots)),
        ("other pictures that keep their label", _of(effect.unchanged, effect.others, 2)),
        ("others that were right and are wrong, were wrong and are right", f"{effect.lost}, {effect.won}"),
        ("a correction on this machine, the pass included", f"{effect.correction_ms:.0f} ms (median)"),
    ]
    return html.section(title, html.paragraph(said), html.table("One correction at a time", ("what", "measured"), rows))


def _of(count: int, total: int, places: int = 0) -> str:
    return f"{count:,} of {total:,} ({count / total:.{places}%})" if total else "none"


def _quantised(facts: Facts) -> str:
    small, timing = facts.artifact.manifest.quantization, facts.timing
    if small is None:
        return ""
    rows = [(f"right, on the same {small.pictures:,} pictures", f"{small.float_accuracy:.2%}", f"{small.accuracy:.2%}")]
    if timing is not None:
        rows.append(("a pass on one thread of this machine", f"{timing.float_ms:.2f} ms", f"{timing.quantised_ms:.2f} ms"))
    drop = 100 * (small.float_accuracy - small.accuracy)
    said = f"{small.kind} costs {drop:.2f} points of accuracy" if drop > 0 else f"{small.kind} costs no accuracy"
    more = f" and takes {timing.ratio:.2f} of the time." if timing is not None else "."
    table = html.table("The network in float32 and as the device runs it", ("", "float32", small.kind), rows)
    return html.section("Quantised", html.paragraph(said + more), table)


def _parity(facts: Facts) -> str:
    parity = facts.artifact.manifest.parity
    rows = [
        ("logits of the network", f"{parity.logits:.1e}"), ("contexts", f"{parity.context:.1e}"),
        ("coefficients after gradient steps, both engines", f"{parity.gradient:.1e}"),
    ]  # fmt: skip
    said = f"What was written, run by ONNX Runtime, beside PyTorch, on {parity.pictures} pictures; beyond its tolerances nothing is kept."
    return html.section("Parity", html.paragraph(said), html.table("Greatest differences", ("what", "difference"), rows))


def _files(facts: Facts) -> str:
    files = sorted(facts.artifact.manifest.files.items(), key=lambda pair: (-pair[1].bytes, pair[0]))
    rows = [(name, f"{entry.bytes:,}") for name, entry in files[:FILES]]
    return html.section("Files", html.table("Every one is in the manifest with its SHA-256", ("file", "bytes"), rows))


def _made(facts: Facts) -> str:
    manifest = facts.artifact.manifest
    image, spec = manifest.image, manifest.statistics
    versions = ", ".join(f"{name.replace('_', '-')} {version}" for name, version in dataclasses.asdict(manifest.producer).items())
    rows = [
        ("last layer", f"{manifest.model.last_layer} ({manifest.model.last_layer_kind})"),
        ("context", f"{manifest.directions} directions from {manifest.features} features and {', '.join(manifest.taps)}"),
        ("input", f"{'×'.join(map(str, image.crop_px))} px, shorter side {image.resize_px} px, {image.interpolation}"),
        ("statistics", f"{spec.pictures:,} pictures, {spec.unreadable} not readable"),
        ("sentinel", f"{manifest.sentinel.size} pictures{'' if manifest.sentinel.held_out else ', not all held out'}"),
        ("head", f"{manifest.capacity} corrections remembered, {manifest.spare_classes} classes can be added"),
        ("weights, SHA-256", manifest.model.weights_sha256),
        ("artifact, SHA-256 of the manifest", facts.artifact.digest),
        ("made with", versions),
        ("in", f"{facts.elapsed_s:.0f} s"),
    ]
    command = f'<pre tabindex="0">{html.text(facts.command)}</pre>' if facts.command else ""
    return html.section("How it was made", command, html.table("Facts of the manifest", ("what", "value"), rows))
