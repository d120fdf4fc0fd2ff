from __future__ import annotations

import pytest
import torch
from export_samples import SmallNetwork, small_network
from torch import nn

from edge_agent.errors import UsageError
from export.learned import Choice
from export.policy import FINETUNE, FREEZE, REINIT, cover, resolve

LAST = "head.3"


def choices(*texts: str) -> list[Choice]:
    return [Choice(*text.split(" ", 1)) for text in texts]


def trained(*texts: str) -> dict[str, str]:
    network = small_network()
    policy = resolve(network, choices(*texts), LAST)
    return {name: action for name, _, action in policy.trained(network)}


def test_without_choices_everything_is_frozen() -> None:
    assert trained() == {} and not resolve(small_network(), [], LAST).trains(small_network())


def test_a_name_reaches_what_lies_below_it() -> None:
    assert trained("finetune stem") == dict.fromkeys(["stem.0.weight", "stem.0.bias", "stem.1.weight", "stem.1.bias"], FINETUNE)


def test_a_glob() -> None:
    assert set(trained("reinit s*.0")) == {"stem.0.weight", "stem.0.bias", "second.0.weight", "second.0.bias"}


def test_the_last_choice_counts() -> None:
    found = trained("finetune *", "freeze stem", "reinit head.3", "finetune stem.1")
    assert found.pop("stem.1.weight") == FINETUNE and "stem.0.weight" not in found and found["head.3.bias"] == REINIT
    assert trained("reinit head.3", "freeze *") == {}


def test_star_is_the_whole_network() -> None:
    assert set(trained("finetune *")) == {name for name, _ in small_network().named_parameters()}


def test_head_is_the_last_layer_unless_a_module_has_that_name() -> None:
    assert set(trained("finetune head")) == {"head.0.weight", "head.0.bias", "head.3.weight", "head.3.bias"}, "the module named head"
    plain = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    assert [name for name, _, _ in resolve(plain, choices("reinit head"), "2").trained(plain)] == ["2.weight", "2.bias"]
    assert resolve(plain, choices("reinit head"), "2").new_task and not resolve(plain, choices("finetune head"), "2").new_task


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("finetune steem", r"--finetune 'steem' is no layer of the network; hint: nearest names: stem"),
        ("freeze layer4.*", r"--freeze 'layer4\.\*' is no layer"),
        ("reinit ", r"--reinit '' is no layer"),
        ("finetune stem.2", r"--finetune stem\.2 reaches stem\.2, which has no parameters; hint: .*head\.3"),
    ],
)
def test_what_reaches_nothing(text: str, found: str) -> None:
    with pytest.raises(UsageError, match=found):
        resolve(small_network(), choices(text), LAST)


def test_modes_follow_the_choices() -> None:
    network = small_network()
    policy = resolve(network, choices("finetune head", "freeze head.3"), LAST)
    policy.set_modes(network, True)
    assert {name for name, part in network.named_modules() if part.training} == {"head", "head.0", "head.1", "head.2"}
    policy.set_modes(network, False)
    assert not any(part.training for part in network.modules())


def test_what_is_shared_with_a_frozen_layer_stays_frozen() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    network[2].weight = network[0].weight
    policy = resolve(network, choices("finetune 2"), "2")
    assert [name for name, _, _ in policy.trained(network)] == ["2.bias"]


@pytest.mark.parametrize(
    ("texts", "names"),
    [
        (("finetune *",), ("*",)),
        (("finetune head",), ("head",)),
        (("finetune *", "freeze stem"), ("block", "second", "third", "head")),
        (("finetune head.0", "finetune head.3"), ("head",)),
    ],
)
def test_fewest_names(texts: tuple[str, ...], names: tuple[str, ...]) -> None:
    network = small_network()
    assert cover(network, resolve(network, choices(*texts), LAST)) == names


def test_parameters_of_the_network_itself() -> None:
    class Tokens(SmallNetwork):
        def __init__(self) -> None:
            super().__init__(4)
            self.token = nn.Parameter(torch.zeros(1))

    network = Tokens().eval()
    assert "token" in {name for name, _, _ in resolve(network, choices("finetune *"), LAST).trained(network)}
    policy = resolve(network, choices("finetune *", "freeze head"), LAST)
    assert "token" in {name for name, _, _ in policy.trained(network)} and policy.action("unheard of") == FREEZE
