from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from export_samples import LABELS

from edge_agent.artifact import Artifact
from edge_agent.manifest import Manifest, Quantization
from export.card import LABELS_SHOWN, UNSTATED, Known, card
from export.learned import Choice, Epoch, Learned

LEARNED = Learned(
    (Choice("finetune", "third.*"),), ("third", "head.3"), 1234, 5678, 32, 8, (Epoch(0, None, 1.5, 0.25), Epoch(1, 1.2, 0.9, 0.75)), 1
)  # fmt: skip


@pytest.fixture
def manifest(built: Path) -> Manifest:
    return Artifact.open(built).manifest


@pytest.fixture
def known(built: Path) -> Known:
    kept = Artifact.open(built).statistics
    return Known(LABELS, np.array([8, 8, 8, 8]), kept.sentinel_logits, kept.sentinel_labels.astype(np.int64))


def test_what_was_built_has_its_card(built: Path, known: Known, manifest: Manifest) -> None:
    written = Artifact.open(built).read("README.md")
    assert written == card(manifest, known), "the card says nothing of the files"
    text = written.decode()
    right = int((known.sentinel_logits.argmax(axis=1) == known.sentinel_labels).sum())
    assert f"16 pictures, which the statistics do not rest on; {right / 16:.1%} right" in text
    assert f"SHA-256 of their tensors `{manifest.model.weights_sha256}`" in text and "32×32 px" in text
    assert f"logits are divided by {manifest.temperature:.3f}" in text and "every layer is as it was given" in text
    assert all(f"| {label} | 8 | " in text for label in LABELS)
    assert "rests on 32 pictures" in text, "the manifest's warnings are among the limits"
    assert UNSTATED in text and "random" not in text


def test_numbers_of_each_label_are_counted(known: Known, manifest: Manifest) -> None:
    logits = np.full((16, 4), -1.0, np.float32)
    logits[np.arange(16), known.sentinel_labels] = 1.0
    logits[known.sentinel_labels == 3] = [2.0, 0, 0, 0]  # every red one is taken for blue
    text = card(manifest, dataclasses.replace(known, sentinel_logits=logits)).decode()
    assert "| blue | 8 | 4 of 4 |" in text and "| red | 8 | 0 of 4 |" in text and "75.0% right (95 % interval 50.5% to 89.8%)" in text


def test_what_was_trained_quantised_and_licensed(known: Known, manifest: Manifest) -> None:
    small = dataclasses.replace(manifest, quantization=Quantization("int8", 0.8125, 0.8203, 1234))
    text = card(small, dataclasses.replace(known, learned=LEARNED, licence="CC-BY-4.0, *pictures* excepted")).decode()
    assert "- Quantised to int8: 81.2% right, 82.0% in float32, on the same 1,234 pictures." in text
    assert "third, head.3 (1,234 of" in text and "25.0% right before, 75.0% after, on 8 held out" in text
    assert "CC-BY-4.0, \\*pictures\\* excepted" in text and UNSTATED not in text


def test_random_weights_are_said_first(known: Known, manifest: Manifest) -> None:
    limits = card(manifest, dataclasses.replace(known, random=True)).decode().partition("## Limits\n\n")[2]
    assert limits.startswith("- **The weights are random")


def test_many_labels_and_labels_with_signs(known: Known, manifest: Manifest) -> None:
    labels = ("a|b", "<script>", *(f"label {number}" for number in range(298)))
    logits = np.zeros((16, 300), np.float32)
    text = card(manifest, Known(labels, np.zeros(300, np.int64), logits, known.sentinel_labels)).decode()
    assert "| a\\|b | 0 |" in text and "\\<script\\>" in text and "<script>" not in text
    assert f"label {LABELS_SHOWN - 3} |" in text and f"label {LABELS_SHOWN - 2} |" not in text and "100 more labels stand in" in text
