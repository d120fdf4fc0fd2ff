"""The report's numbers against the arrays they come from, and its text against names that look like HTML."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from export_samples import LABELS, Sample, silent
from test_card import LEARNED

from edge_agent.artifact import Artifact
from edge_agent.errors import ArtifactError
from edge_agent.manifest import Quantization
from export import report, report_facts
from export.dataset import Picture, Unreadable
from export.effect import Effect, measure_effect
from export.report_sections import body
from export.timing import Timing


@pytest.fixture(scope="module")
def facts(built: Path, sample: Sample) -> report_facts.Facts:
    """Of the small artifact, taught its own mistakes."""
    plan, prepared, fitted = sample
    plan = dataclasses.replace(plan, output=built, command="edge-export build --model small --data 'my photos'")
    return report_facts.gather(plan, prepared, report_facts.Course(fitted, {}, None, 12.3), silent)


def test_effect_is_counted(facts: report_facts.Facts) -> None:
    effect = facts.effect
    wrong = int((facts.logits.argmax(axis=1) != facts.truths).sum())
    assert effect is not None and effect.mistakes == wrong > 0
    assert effect.accepted <= effect.taught <= min(wrong, 24) and effect.right == effect.accepted > 0
    assert 0.9 <= effect.least <= effect.median <= 1
    assert effect.reshots == 4 * effect.accepted and 0 <= effect.reshots_before <= effect.reshots
    assert effect.others == 15 * effect.accepted and effect.lost + effect.won <= effect.others - effect.unchanged
    assert effect.correction_ms > 0


def test_effect_where_there_is_none(built: Path, tmp_path: Path, facts: report_facts.Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = [Picture(tmp_path / "gone.png", int(label), "ab" * 32) for label in facts.truths]
    found = measure_effect(built, gone, silent)
    assert found is not None and found.taught > 0 and (found.accepted, found.right, found.reshots, found.correction_ms) == (0, 0, 0, 0.0)
    kept = Artifact.open(built).statistics
    said = dataclasses.replace(kept, sentinel_labels=kept.sentinel_logits.argmax(axis=1).astype(np.int32))
    opened = Artifact.open

    def without_mistakes(path: Path) -> Artifact:
        return dataclasses.replace(opened(path), statistics=said)

    monkeypatch.setattr("edge_agent.agent.Artifact.open", without_mistakes)
    assert measure_effect(built, gone, silent) is None


def test_worst_pictures_are_the_most_wrong(facts: report_facts.Facts) -> None:
    assert [one.own for one in facts.worst] == sorted(one.own for one in facts.worst)
    assert 0 < len(facts.worst) <= 12 and all(one.truth != one.said and one.chance > one.own for one in facts.worst)
    assert all(one.jpeg.startswith(b"\xff\xd8\xff") and b"Exif" not in one.jpeg for one in facts.worst)


def test_what_the_page_says(facts: report_facts.Facts) -> None:
    text = body(facts)
    right = int((facts.logits.argmax(axis=1) == facts.truths).sum())
    assert f"{right} of 16; 95 % interval" in text and "Nothing was trained here" in text and "in</th><td class=\"words\">12 s" in text
    assert "edge-export build --model small --data &#x27;my photos&#x27;" in text
    assert sum(part.parameters for part in facts.parts) == facts.artifact.manifest.model.parameters
    cells = re.findall(r'<td class="(?:right|wrong)" style="--share:[0-9.]+">(\d+)</td>', text)
    assert sum(map(int, cells)) == 16, "every sentinel picture stands once in the matrix"
    assert text.count("data:image/jpeg;base64,") == len(facts.worst) and "rests on 32 pictures" in text
    assert "Quantised" not in text and "Learning curve" not in text


def test_what_was_trained_and_quantised(facts: report_facts.Facts) -> None:
    manifest = dataclasses.replace(facts.artifact.manifest, quantization=Quantization("int8", 0.81, 0.82, 500))
    more = dataclasses.replace(
        facts, learned=LEARNED, artifact=dataclasses.replace(facts.artifact, manifest=manifest), timing=Timing("int8", 10.0, 4.0),
        unreadable=(Unreadable(Path("cat/1.jpg"), "damaged"),),
    )  # fmt: skip
    text = body(more)
    assert "int8 costs 1.00 points of accuracy and takes 0.40 of the time." in text and "<td>82.00%</td><td>81.00%</td>" in text
    assert "fine-tune third.*" in text and "Right on those: 25.0% before, 75.0% after pass 1" in text
    assert text.count("<circle") >= 2 and "after 1: 75.0%, kept" in text and "Not read: cat/1.jpg: damaged" in text


def test_many_labels_are_listed_and_not_drawn(facts: report_facts.Facts) -> None:
    labels = tuple(f"label {number}" for number in range(30))
    logits = np.pad(facts.logits, ((0, 0), (0, 26)), constant_values=-50.0)
    text = body(dataclasses.replace(facts, artifact=dataclasses.replace(facts.artifact, labels=labels), logits=logits))
    assert "The most frequent mistakes" in text and 'class="matrix"' not in text
    assert "label 29" not in text, "labels without a picture are left out"


@pytest.mark.parametrize(
    ("effect", "found"), [(None, "Nothing to teach"), (Effect(3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1.0), "The guard refused every one")]
)
def test_effects_that_are_none(effect: Effect | None, found: str, facts: report_facts.Facts) -> None:
    assert found in body(dataclasses.replace(facts, effect=effect))


def test_names_from_outside_are_text(facts: report_facts.Facts) -> None:
    evil = "<script>alert(1)</script>\"'&"
    artifact = dataclasses.replace(facts.artifact, labels=(evil, *LABELS[1:]))
    worst = tuple(dataclasses.replace(one, truth=evil, said=evil) for one in facts.worst)
    text = body(dataclasses.replace(facts, artifact=artifact, worst=worst, command=evil, warnings=(evil,)))
    assert "<script" not in text and "&lt;script&gt;alert(1)" in text


def test_page_is_whole_and_asks_for_nothing(facts: report_facts.Facts, tmp_path: Path) -> None:
    report.write(facts, tmp_path / "deep" / "report.html")
    text = (tmp_path / "deep" / "report.html").read_text("utf-8")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["report.html"]
    assert "default-src &#x27;none&#x27;" in text or "default-src 'none'" in text
    assert not re.search(r"<(script|link|iframe|object|form|video|audio)|https?://|@import|url\(", text)
    assert set(re.findall(r'(?:src|href)="([^":]*):', text)) == {"data"}


def test_page_that_cannot_be_written(facts: report_facts.Facts, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ArtifactError, match=r"report .* cannot be written"):
        report.write(facts, tmp_path / "file" / "report.html")
