from __future__ import annotations

import pytest
import torchvision
from export_samples import small_network

from export import halves
from export.advice import NOTHING, SCRATCH
from export.ladder import ladder
from export.learned import Choice
from export.policy import resolve
from export.source import last_layer_name, outline


@pytest.mark.parametrize("new_task", [False, True])
def test_from_nothing_to_everything(new_task: bool) -> None:
    network = small_network()
    found = ladder(network, halves.trace(network), "head.3", new_task)
    names = [candidate.name for candidate in found]
    assert names[: 1 + (not new_task)] == (["head"] if new_task else [NOTHING, "head"]) and names[-2:] == ["all", SCRATCH]
    sizes = [candidate.parameters for candidate in found]
    assert sizes == sorted(sizes) and sizes[-1] == sum(number.numel() for number in network.parameters())
    for candidate in found:
        policy = resolve(network, candidate.choices, "head.3")
        assert sum(number.numel() for _, number, _ in policy.trained(network)) == candidate.parameters, candidate.name
        assert policy.new_task == (new_task or candidate.name == SCRATCH)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "vit_b_16", "swin_t", "densenet121", "convnext_tiny"])
def test_a_few_well_named_steps(name: str) -> None:
    network = outline(name)
    last = last_layer_name(name)
    found = ladder(network, halves.trace(network), last, False)
    between = found[2:-2]
    assert 1 <= len(between) <= 4
    for one, other in zip(found[1:-2], between, strict=False):
        assert other.parameters >= 1.5 * one.parameters
        assert len(other.choices) <= 16 and len(other.name) < 100, other.name
        assert sum(number.numel() for _, number, _ in resolve(network, other.choices, last).trained(network)) == other.parameters


def test_options_for_the_command_line() -> None:
    network = torchvision.models.squeezenet1_1(num_classes=3).eval()
    found = ladder(network, halves.trace(network), "classifier.1", True)
    assert found[0].options == ("--reinit", "classifier.1")
    assert found[-2].options == ("--finetune", "*", "--reinit", "classifier.1")
    assert found[-2].choices[-1] == Choice("reinit", "classifier.1")
