from __future__ import annotations

import copy
import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from export_samples import LABELS, Sample, plan_for, prepared_for, silent, small_network, write_photos

from edge_agent.errors import InputError
from export import dataset, statistics
from export.fit import fit
from export.learned import Choice
from export.policy import resolve
from export.recipe import Recipe


def test_what_is_fitted_comes_from_the_right_pictures(sample: Sample) -> None:
    _, prepared, found = sample
    assert len(found.sentinel) == 16 and len(found.measured.pictures) == 32 and found.unreadable == ()
    assert found.features.shape == (32, 20)
    expected = statistics.context_map(found.measured.raw)
    assert np.array_equal(found.backbone.mean.numpy(), expected.mean)
    assert np.array_equal(found.backbone.matrix.numpy(), expected.matrix)
    assert 0.3 < found.backbone.temperature < 20.1
    assert not found.backbone.training and prepared.labels == LABELS


def test_unreadable_pictures_are_named_once(tmp_path: Path) -> None:
    root = write_photos(tmp_path / "data", 3)
    (root / "red/bad.png").write_bytes(b"\x89PNG broken")
    found = fit(plan_for(root, tmp_path / "out"), prepared_for(root, small_network()), silent)
    assert [picture.name for picture in found.unreadable] == ["red/bad.png"]


@pytest.mark.parametrize("per_label", [1, 2])
def test_one_or_two_pictures_of_a_label_are_enough_to_work(per_label: int, tmp_path: Path) -> None:
    root = write_photos(tmp_path / "data", per_label)
    found = fit(plan_for(root, tmp_path / "out"), prepared_for(root, small_network()), silent)
    assert found.split.held_out is (per_label == 2)
    assert found.backbone.matrix.shape[1] == 3
    with torch.no_grad():
        assert torch.isfinite(found.backbone(torch.rand(2, 3, 32, 32))[2]).all()


def test_only_one_label_can_be_read(tmp_path: Path) -> None:
    root = write_photos(tmp_path / "data", 3, ("blue", "red"))
    for path in (root / "red").iterdir():
        path.write_bytes(b"no picture " + path.name.encode())
    prepared = prepared_for(root, small_network(2), ("blue", "red"))
    with pytest.raises(InputError, match="only pictures of one label can be read"):
        fit(plan_for(root, tmp_path / "out"), prepared, silent)


def test_network_that_gives_no_number(photos: Path, tmp_path: Path) -> None:
    network = small_network()
    network.head[3].bias[1] = float("inf")
    with pytest.raises(InputError, match="NaN or Inf as logits"):
        fit(plan_for(photos, tmp_path / "out"), prepared_for(photos, network), silent)


def test_names_of_files_change_nothing(photos: Path, sample: Sample, tmp_path: Path) -> None:
    root = tmp_path / "renamed"
    for label in LABELS:
        (root / label).mkdir(parents=True)
        for number, path in enumerate(sorted((photos / label).iterdir(), reverse=True)):
            shutil.copy(path, root / label / f"photo {number}.png")
    found = fit(dataclasses.replace(sample[0], data=root), prepared_for(root, small_network()), silent)
    assert np.array_equal(found.measured.raw, sample[2].measured.raw)
    assert torch.equal(found.backbone.matrix, sample[2].backbone.matrix)


@pytest.mark.parametrize("kind", [None, "float16"])
def test_what_is_measured_and_quantised_has_learned(kind: str | None, photos: Path, tmp_path: Path) -> None:
    network = small_network()
    before = copy.deepcopy(network)
    policy = resolve(network, [Choice("finetune", "*")], "head.3")
    prepared = dataclasses.replace(prepared_for(photos, network), policy=policy)
    recipe = Recipe(epochs=3, learning_rate=3e-3, batch=8)
    plan = dataclasses.replace(plan_for(photos, tmp_path / "out"), recipe=recipe, quantize=kind, force=True)
    found = fit(plan, prepared, silent)
    assert found.learned is not None and found.learned.kept > 0
    ((_, images, _),) = dataset.batches(found.measured.pictures, prepared.spec, plan.limits, 99)
    with torch.no_grad():
        untrained, trained = before(torch.from_numpy(images)).numpy(), network(torch.from_numpy(images)).numpy()
    tolerance = 0.02 if kind else 1e-4
    assert np.abs(found.measured.logits - trained).max() < tolerance < np.abs(found.measured.logits - untrained).max()
    learned_from = found.learned.pictures + found.learned.held_out
    assert learned_from == len(found.split.statistics), "none of the guard's pictures"
