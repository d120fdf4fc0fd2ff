from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torchvision
from export_samples import LABELS, write_photos

from edge_agent.errors import EdgeAgentError, InputError, LabelError, UsageError
from export import plan as plans
from export.learned import Choice
from export.plan import BuildPlan, prepare
from export.source import Overrides, Weights


@pytest.fixture
def plan(photos: Path, tmp_path: Path) -> BuildPlan:
    return BuildPlan("squeezenet1_1", "none", None, photos, tmp_path / "out", Overrides(input_size_px=32))


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """Weights of a network of six classes."""
    with torch.random.fork_rng(devices=[]):
        torch.save(torchvision.models.squeezenet1_1(num_classes=6).state_dict(), tmp_path / "six.pth")
    return tmp_path / "six.pth"


def labels_file(tmp_path: Path, *labels: str) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("".join(f"{label}\n" for label in labels))
    return path


def test_folders_are_the_labels_of_random_weights(plan: BuildPlan) -> None:
    found = prepare(plan)
    assert found.labels == LABELS and found.absent == ()
    assert found.spec.crop_px == (32, 32) and found.network.parameters > 700_000


def test_labels_of_a_file_may_be_more_than_the_folders(plan: BuildPlan, trained: Path, tmp_path: Path) -> None:
    file = labels_file(tmp_path, "red", "newt", "green", "blue", "toad", "grey")
    found = prepare(dataclasses.replace(plan, labels=file, weights=str(trained)))
    assert found.labels == ("red", "newt", "green", "blue", "toad", "grey")
    assert found.absent == ("newt", "toad")


def test_folders_that_are_fewer_than_the_classes(plan: BuildPlan, trained: Path) -> None:
    with pytest.raises(LabelError, match="--data has 4 folders, the network has 6 classes; hint: give --labels FILE"):
        prepare(dataclasses.replace(plan, weights=str(trained)))


def test_labels_that_are_fewer_than_the_classes(plan: BuildPlan, trained: Path, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="--labels has 4 labels, the network has 6 classes"):
        prepare(dataclasses.replace(plan, weights=str(trained), labels=labels_file(tmp_path, *LABELS)))


def test_folder_that_is_no_label(plan: BuildPlan, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"the folder 'grey' .* is none of the 4 labels; hint: nearest labels: gray"):
        prepare(dataclasses.replace(plan, labels=labels_file(tmp_path, "blue", "gray", "green", "red")))


def test_torchvisions_weights_bring_their_own_labels() -> None:
    known = ("blue", "brown", "green", "grey", "red")
    entry = SimpleNamespace(meta={"categories": list(known)})
    given = Weights({}, "torchvision's", entry, 5)  # type: ignore[arg-type]
    assert plans._labels(given, None, LABELS) == known
    with pytest.raises(LabelError, match="--data has 2 folders, the network has 5 classes"):
        plans._labels(given, None, ("blue", "newt"))
    assert plans._labels(given, ("a", "b", "c", "d", "e"), LABELS) == ("a", "b", "c", "d", "e")


@pytest.mark.parametrize(
    ("change", "kind", "found"),
    [
        ({"model": "resnet"}, UsageError, "'resnet' is no classifier"),
        ({"limit": 3}, UsageError, "--limit is 3, expected at least 4"),
        ({"spare_classes": -1}, UsageError, "--spare-classes is -1"),
        ({"spare_classes": 10_001}, UsageError, "--spare-classes is 10001"),
        ({"weights": "missing.pth"}, InputError, "missing.pth: no such file"),
        ({"labels": Path("missing.txt")}, InputError, "labels file missing.txt cannot be read"),
        ({"data": Path("missing")}, InputError, "--data missing cannot be read"),
        ({"overrides": Overrides(64, 32)}, UsageError, "--resize 32"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_refused(change: dict[str, object], kind: type[EdgeAgentError], found: str, plan: BuildPlan) -> None:
    with pytest.raises(kind, match=found) as caught:
        prepare(dataclasses.replace(plan, **change))  # type: ignore[arg-type]
    assert caught.value.hint and "\n" not in str(caught.value)


def test_output_in_the_way_is_found_before_anything_is_read(plan: BuildPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    plan.output.mkdir()
    monkeypatch.setattr("export.source.read_weights", lambda *_: pytest.fail("weights were read"))
    with pytest.raises(UsageError, match="out exists and is no artifact"):
        prepare(plan)


@pytest.mark.parametrize("name", ["x" * 129, "tab\there"])
def test_folder_names_that_no_label_can_have(name: str, plan: BuildPlan, tmp_path: Path) -> None:
    root = write_photos(tmp_path / "data", 1, ("blue", name))
    with pytest.raises(LabelError, match=r"folders of .*data, number \d"):
        prepare(dataclasses.replace(plan, data=root))


def choose(plan: BuildPlan, *texts: str) -> BuildPlan:
    return dataclasses.replace(plan, choices=tuple(Choice(*text.split(" ")) for text in texts))


def test_frozen_is_the_default(plan: BuildPlan) -> None:
    assert prepare(plan).policy is None and prepare(choose(plan, "finetune head", "freeze *")).policy is None


def test_a_new_task_has_new_labels_and_rows(plan: BuildPlan, trained: Path, tmp_path: Path) -> None:
    of_folders = prepare(choose(dataclasses.replace(plan, weights=str(trained)), "reinit head"))
    assert of_folders.labels == LABELS and of_folders.network.module(torch.zeros(1, 3, 32, 32)).shape == (1, 4)
    assert of_folders.policy is not None and of_folders.policy.new_task and of_folders.policy.last_layer == "classifier.1"
    file = labels_file(tmp_path, "red", "grey", "green", "blue")
    of_file = prepare(choose(dataclasses.replace(plan, weights=str(trained), labels=file), "reinit *"))
    assert of_file.labels == ("red", "grey", "green", "blue")


def test_fine_tuning_keeps_the_task(plan: BuildPlan, trained: Path) -> None:
    with pytest.raises(LabelError, match=r"--data has 4 folders, the network has 6 classes; hint: .*--reinit head"):
        prepare(choose(dataclasses.replace(plan, weights=str(trained)), "finetune head"))


def test_a_layer_that_is_not_there_is_found_before_the_weights_are_read(plan: BuildPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.source.read_weights", lambda *_: pytest.fail("weights were read"))
    with pytest.raises(UsageError, match="--finetune 'layer4' is no layer"):
        prepare(choose(plan, "finetune layer4"))


def test_too_few_pictures_for_a_new_task(plan: BuildPlan, tmp_path: Path) -> None:
    file = labels_file(tmp_path, *LABELS, "newt")
    with pytest.raises(InputError, match="the label 'newt' has no pictures"):
        prepare(choose(dataclasses.replace(plan, labels=file), "reinit head"))
