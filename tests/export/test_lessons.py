"""The policy carried out: what is frozen stays bit for bit, what is trained learns, the same way every time."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from export_samples import LABELS, SPEC, SmallNetwork, silent, small_network, write_photos

from edge_agent.errors import InputError
from edge_agent.image import ImageLimits
from export import dataset, lessons
from export.dataset import LabelFolder, Split
from export.learned import Choice, Learned
from export.policy import Policy, resolve
from export.recipe import Recipe
from export.source import Source, Weights

RECIPE = Recipe(epochs=4, learning_rate=3e-3, batch=8)


@pytest.fixture(scope="module")
def split(photos: Path) -> Split:
    return dataset.split(dataset.scan(photos), LABELS, 200, silent)


def policy_of(network: torch.nn.Module, *texts: str) -> Policy:
    return resolve(network, [Choice(*text.split(" ")) for text in texts], "head.3")


def learned(network: SmallNetwork, split: Split, *texts: str, recipe: Recipe = RECIPE, seed: int = 1) -> Learned:
    source = Source("small", network, Weights(None, "", None, None))
    return lessons.learn(source, policy_of(network, *texts), split, SPEC, ImageLimits(), recipe, seed, silent)


def changed(before: torch.nn.Module, after: torch.nn.Module) -> set[str]:
    then = before.state_dict()
    return {name for name, value in after.state_dict().items() if not torch.equal(value, then[name])}


def test_only_what_is_trained_moves(split: Split) -> None:
    network = small_network()
    before = copy.deepcopy(network)
    found = learned(network, split, "finetune third", "finetune head.3")
    assert found.kept > 0
    assert changed(before, network) == {"third.0.weight", "third.0.bias", "head.3.weight", "head.3.bias"}
    assert found.layers == ("third", "head.3")
    assert found.trained == sum(number.numel() for part in (network.third, network.head[3]) for number in part.parameters())
    assert not any(part.training for part in network.modules())
    assert not any(number.requires_grad or number.grad is not None for number in network.parameters())


@pytest.mark.parametrize(("texts", "moves"), [(("finetune *", "freeze stem.1"), False), (("finetune *",), True)])
def test_batch_normalisation_of_a_frozen_layer_keeps_its_statistics(texts: tuple[str, ...], moves: bool, split: Split) -> None:
    """Also where layers below it are trained, so that it runs in every pass."""
    network = small_network()
    before = copy.deepcopy(network)
    seen: list[bool] = []
    handle = network.stem[1].register_forward_hook(lambda part, *_: seen.append(part.training))
    found = learned(network, split, *texts)
    handle.remove()
    assert found.kept > 0 and any(seen) == moves
    norm = {"stem.1.weight", "stem.1.bias", "stem.1.running_mean", "stem.1.running_var", "stem.1.num_batches_tracked"}
    assert changed(before, network) & norm == (norm if moves else set())
    assert "stem.0.weight" in changed(before, network)


def test_running_statistics_follow_within_a_pass_whatever_the_networks_momentum(split: Split) -> None:
    networks = [small_network() for _ in range(2)]
    networks[1].stem[1].momentum = 0.001
    for network in networks:
        learned(network, split, "finetune *")
    assert changed(networks[0], networks[1]) == set(), "both were quickened to the same"
    assert networks[1].stem[1].momentum == 0.001, "and are as they were"


def test_the_same_seed_gives_the_same_bits(split: Split) -> None:
    networks = [small_network() for _ in range(3)]
    curves = [learned(network, split, "finetune head", seed=seed).curve for network, seed in zip(networks, (1, 1, 2), strict=True)]
    assert changed(networks[0], networks[1]) == set() and curves[0] == curves[1]
    assert changed(networks[0], networks[2]) and curves[0] != curves[2]


def test_it_learns_and_the_curve_says_so(split: Split) -> None:
    network = small_network()
    found = learned(network, split, "finetune *", recipe=dataclasses.replace(RECIPE, epochs=25, learning_rate=1e-2))
    assert found.before.number == 0 and found.before.loss is None
    assert [epoch.number for epoch in found.curve] == list(range(len(found.curve)))
    assert found.best.held_out_loss == min(epoch.held_out_loss for epoch in found.curve) < 0.8 * found.before.held_out_loss
    assert found.best.held_out_accuracy > 0.7
    assert Learned.from_bytes(found.to_bytes()) == found


def test_it_stops_early_and_goes_back_to_the_best(split: Split) -> None:
    network = small_network()
    seen: list[tuple[int, int]] = []
    recipe = dataclasses.replace(RECIPE, epochs=60, learning_rate=0.05, patience=3)
    source = Source("small", network, Weights(None, "", None, None))
    found = lessons.learn(
        source, policy_of(network, "finetune *"), split, SPEC, ImageLimits(), recipe, 1, lambda _, done, total: seen.append((done, total))
    )
    assert len(found.curve) - 1 - found.kept == 3 and len(found.curve) < 60
    assert seen[-1] == (len(found.curve) - 1,) * 2 and all(done < total for done, total in seen[:-1])
    _, held_out = lessons.held_apart(split, recipe.held_out)
    ((_, images, _),) = dataset.batches(held_out, SPEC, ImageLimits(), 99)
    with torch.no_grad():
        right = network(torch.from_numpy(images)).argmax(1) == torch.tensor([picture.label for picture in held_out])
    assert float(right.float().mean()) == pytest.approx(found.best.held_out_accuracy)


def test_training_that_diverges(split: Split) -> None:
    network = small_network()
    network.head[3].weight.mul_(1e38)
    with pytest.raises(InputError, match=r"training diverged in pass \d+.*--learning-rate"):
        learned(network, split, "finetune *", recipe=dataclasses.replace(RECIPE, learning_rate=1.0))
    assert not any(number.requires_grad for number in network.parameters())


def test_what_takes_no_part(split: Split) -> None:
    network = small_network()
    network.spare = torch.nn.Linear(2, 2)
    with pytest.raises(InputError, match="takes no part in the network's forward pass"):
        learned(network, split, "finetune spare")


def test_held_out_pictures_are_of_every_label_and_none_is_a_sentinel(split: Split) -> None:
    learned_from, held_out = lessons.held_apart(split, 0.2)
    sentinel = {picture.digest for picture in split.sentinel}
    assert not {picture.digest for picture in (*learned_from, *held_out)} & sentinel
    assert not {picture.digest for picture in learned_from} & {picture.digest for picture in held_out}
    assert len(learned_from) + len(held_out) == len(split.statistics)
    assert {picture.label for picture in held_out} == {picture.label for picture in learned_from} == set(range(4))


def folders(**counts: int) -> tuple[LabelFolder, ...]:
    return tuple(LabelFolder(name, tuple(Path(f"{number}.png") for number in range(count))) for name, count in counts.items())


@pytest.mark.parametrize(
    ("texts", "counts", "found"),
    [
        ("finetune head", {"blue": 2, "red": 1}, "--data has 3 pictures for 4 labels, too few to train on"),
        ("reinit head", {"blue": 5, "red": 5}, "--reinit of the last layer: the label 'green' has no pictures"),
        ("finetune head", {"blue": 5, "green": 5, "grey": 5, "red": 1}, "the label 'red' has 1 picture, training needs at least 2"),
    ],
)
def test_pictures_that_nothing_can_be_learned_from(texts: str, counts: dict[str, int], found: str) -> None:
    with pytest.raises(InputError, match=found):
        lessons.check_pictures(policy_of(small_network(), texts), LABELS, folders(**counts))


def test_labels_without_pictures_may_be_fine_tuned() -> None:
    lessons.check_pictures(policy_of(small_network(), "finetune head"), LABELS, folders(blue=5, red=5))


@pytest.mark.parametrize(("per_label", "found"), [(2, "no label has a picture to stop training by"), (1, "one readable picture only")])
def test_too_few_different_pictures(per_label: int, found: str, tmp_path: Path) -> None:
    root = write_photos(tmp_path / "data", per_label)
    few = dataset.split(dataset.scan(root), LABELS, 200, silent)
    with pytest.raises(InputError, match=found):
        lessons.held_apart(few, 0.2)

