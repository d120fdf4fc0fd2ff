from __future__ import annotations

import pytest
import torch
from export_samples import small_network
from torch import nn

from export import source
from export.layers import MOST_PARTS, parts


@pytest.mark.parametrize("name", ["resnet18", "vit_b_32", "swin_v2_t", "maxvit_t", "inception_v3", "regnet_y_400mf", "vgg19"])
def test_every_parameter_stands_in_one_part(name: str) -> None:
    network = source.outline(name)
    found = parts(network, {})
    assert sum(part.parameters for part in found) == sum(number.numel() for number in network.parameters())
    assert 8 <= len(found) <= MOST_PARTS and all(part.action == "frozen" and part.frozen == part.parameters > 0 for part in found)
    assert len({part.name for part in found}) == len(found)


def test_what_was_done_with_each_part() -> None:
    network = small_network()
    actions = dict.fromkeys(("third", "third.0", "third.1", "head.0"), "finetune") | {"head.3": "reinit", "stem.1": "finetune"}
    found = {part.name: part for part in parts(network, actions)}
    assert found["third.0"].action == "finetuned" and found["third.0"].frozen == 0
    assert found["head.3"].action == "reinitialised" and found["head.3"].reinitialised == 84
    assert found["stem.1"].action == "finetuned" and found["stem.0"].action == "frozen"


def test_a_part_with_some_of_each_and_numbers_of_its_own() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.shared = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
            self.two.weight = self.shared.weight

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Parameter(torch.zeros(7))
            self.block, self.nothing = Block(), nn.ReLU()

    found = parts(Network(), {"block.one": "finetune", "block.shared": "reinit"})
    assert [(part.name, part.parameters) for part in found] == [("block", 14), ("Network", 7)], "what is shared counts once"
    assert found[0].action == "partly finetuned and reinitialised" and (found[0].frozen, found[0].finetuned) == (6, 6)
