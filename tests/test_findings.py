"""What is said beside a verdict: how wrong, what contradicts it, how unusual."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from on_device import PHOTOS, TRUTHS, sentinel_evidence

from edge_agent import EdgeAgent
from edge_agent.artifact import Artifact
from edge_agent.findings import Finder
from edge_agent.remembered_rows import RememberedRows
from edge_agent.runtime import stacked


def test_margin_and_rank_say_how_wrong_the_model_was(agent: EdgeAgent) -> None:
    seen = agent.predict(PHOTOS[0], top=10)
    findings = agent.correct(seen, TRUTHS[0]).findings
    assert findings.margin is not None and findings.margin < 0
    assert findings.rank == [ranked.label for ranked in seen.top].index(TRUTHS[0]) + 1
    assert findings.label_corrections == 1
    assert agent.correct(PHOTOS[0], TRUTHS[0], force=True).findings.label_corrections == 2


def test_a_contradiction_is_named(agent: EdgeAgent) -> None:
    first = agent.correct(PHOTOS[0], TRUTHS[0], views=0)
    assert first.findings.conflict is None
    other = next(label for label in agent.labels if label != TRUTHS[0])
    second = agent.correct(PHOTOS[0], other, views=0)
    assert second.findings.conflict is not None
    assert (second.findings.conflict.id, second.findings.conflict.label) == (first.id, TRUTHS[0])
    assert second.findings.conflict.similarity > 0.99
    assert f"it contradicts correction {first.id} ({TRUTHS[0]}" in second.reason


def test_a_class_without_a_shot_has_no_margin(agent: EdgeAgent) -> None:
    findings = agent.correct(PHOTOS[0], "newt", new_label=True, dry_run=True).findings
    assert (findings.margin, findings.rank) == (None, None)


def test_noise_is_more_unusual_than_a_photo(agent: EdgeAgent) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    flat = np.full((32, 32, 3), 7, np.uint8)
    strange = max(agent.correct(picture, "frog", dry_run=True, views=0).findings.unusual for picture in (noise, flat))
    usual = [agent.correct(path, "frog", dry_run=True, views=0).findings.unusual for path in PHOTOS]
    assert all(0 <= value <= 1 for value in usual)
    assert strange > np.median(usual)


@pytest.mark.parametrize("kind", ["different pictures", "one came twice", "with views", "more than fit", "only of this label"])
def test_rows_that_a_solve_has_put_together_say_the_same(default_artifact: Artifact, kind: str) -> None:
    *before, newest = sentinel_evidence(default_artifact, 12)
    if kind == "one came twice":
        before[3] = dataclasses.replace(before[7], id=before[3].id, label=before[7].label)
    if kind == "with views":
        before[2] = dataclasses.replace(before[2], seen=stacked([before[2].seen, before[9].seen]))
    if kind == "only of this label":
        before = [dataclasses.replace(evidence, label=newest.label) for evidence in before]
    asked = RememberedRows(6 if kind == "more than fit" else 64, 0.98, default_artifact.manifest.directions)
    finder, labels, logits = Finder(default_artifact), default_artifact.labels, newest.seen.logits[0]
    for place in {newest.label, before[0].label}:
        rows = asked.of((*before, dataclasses.replace(newest, label=place)))
        found = finder.find(logits, labels, before, newest.seen, labels[place], rows)
        plain = finder.find(logits, labels, before, newest.seen, labels[place])
        assert dataclasses.replace(found, conflict=None) == dataclasses.replace(plain, conflict=None)
        if plain.conflict is None or found.conflict is None:
            assert found.conflict is plain.conflict is None and kind == "only of this label"
        else:
            assert (found.conflict.id, found.conflict.label) == (plain.conflict.id, plain.conflict.label)
            assert found.conflict.similarity == pytest.approx(plain.conflict.similarity, abs=1e-6)
