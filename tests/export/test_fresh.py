from __future__ import annotations

import copy
from collections.abc import Sequence

import pytest
import torch
import torchvision
from torch import nn

from edge_agent.errors import InputError
from edge_agent.manifest import ImageSpec
from export import source
from export.fresh import begin_anew
from export.learned import Choice
from export.policy import resolve
from export.source import Source, Weights

SPEC = ImageSpec((32, 32), 32, "bilinear", (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))


def anew(name: str, texts: Sequence[str], classes: int, seed: int = 1) -> tuple[nn.Module, nn.Module]:
    """A network before and after."""
    given = Weights(None, "", None, None)
    network = source.build(name, given, 5, SPEC, 7)
    with torch.no_grad():
        for number in network.module.state_dict().values():
            number.add_(1)
    before = copy.deepcopy(network.module)
    policy = resolve(network.module, [Choice("reinit", text) for text in texts], source.last_layer_name(name))
    begin_anew(network, policy, classes, SPEC, seed)
    assert not any(number.requires_grad for number in network.module.parameters())
    return before, network.module


def test_a_new_task_has_a_row_for_each_label() -> None:
    before, after = anew("mobilenet_v3_small", ["head"], 3)
    then = before.state_dict()
    differing = {name for name, value in after.state_dict().items() if not torch.equal(value, then[name])}
    assert differing == {"classifier.3.weight", "classifier.3.bias"}
    assert after.classifier[3].weight.shape == (3, 1024) and torch.equal(after.classifier[3].bias, torch.zeros(3)), "as torchvision begins"


def test_a_convolution_as_the_last_layer() -> None:
    _, after = anew("squeezenet1_1", ["head"], 3)
    assert after.classifier[1].out_channels == 3
    assert after(torch.zeros(1, 3, 32, 32)).shape == (1, 3)


def test_layers_begin_as_an_untrained_network_does() -> None:
    before, after = anew("resnet18", ["layer4", "bn1"], 5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        untrained = torchvision.models.resnet18(num_classes=5).state_dict()
    then = before.state_dict()
    for name, value in after.state_dict().items():
        expected = untrained if name.startswith(("layer4.", "bn1.")) else then
        assert torch.equal(value, expected[name]), name
    assert torch.equal(after.bn1.running_mean, torch.zeros(64)), "the statistics begin anew, too"


def test_the_seed_decides() -> None:
    one, same, other = (anew("squeezenet1_1", ["head"], 3, seed)[1].classifier[1].weight for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))
        self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(x.mean((2, 3))) * self.scale)


def own(layers: str) -> Own:
    network = Own().eval()
    policy = resolve(network, [Choice("reinit", layers)], "last")
    begin_anew(Source("pkg.nets:Own", network, Weights(None, "", None, None)), policy, 6, SPEC, 0)
    return network


def test_layers_of_a_factory_reset_themselves() -> None:
    found = own("last")
    assert found.last.weight.shape == (6, 4) and found.last.bias is None and not found.last.training
    assert own("first").last.weight.shape == (2, 4)


def test_a_layer_that_cannot_reset_itself() -> None:
    with pytest.raises(InputError, match=r"of the network itself \(Own\) has no reset_parameters\(\); hint: write one"):
        own("*")
