from __future__ import annotations

import pytest
import torch
import torchvision
from export_samples import small_network
from torch import nn

from export.halves import Halves, halves, open_below, openings, run_below, trace


def ids(module: nn.Module, *prefixes: str) -> frozenset[int]:
    return frozenset(id(number) for name, number in module.named_parameters() if name.startswith(prefixes))


def both(opened: Halves, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return opened.above(run_below(opened.below, images))


def parameters(module: nn.Module | None) -> set[int]:
    return set() if module is None else {id(number) for number in module.parameters()}


NETWORKS = ("resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_1", "vit_b_32", "swin_t", "densenet121")


@pytest.mark.parametrize("name", NETWORKS)
def test_halves_compute_what_the_network_does(name: str) -> None:
    size = 224 if name.startswith("vit") else 64
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = torchvision.models.get_model(name, weights=None, num_classes=5).eval()
    images = torch.randn(2, 3, size, size)
    graph = trace(network)
    with torch.no_grad():
        expected = network(images)
    places = openings(graph)
    assert places[0].op == "placeholder" and len(places) > 3
    for place in (places[len(places) // 2], places[-1]):
        torch.testing.assert_close(both(halves(graph, place), images), expected, rtol=1e-4, atol=1e-5)


def test_the_network_opens_as_late_as_what_is_trained_allows() -> None:
    network = small_network()
    graph = trace(network)
    head = open_below(graph, ids(network, "head.3"))
    assert head.below is not None and parameters(head.above) == ids(network, "head.3")
    assert parameters(head.below) == set(ids(network, "")) - ids(network, "head.3")
    third = open_below(graph, ids(network, "third.0"))
    assert parameters(third.above) == ids(network, "third", "head")
    block = open_below(graph, ids(network, "block"))
    assert parameters(block.above) == ids(network, "block", "second", "third", "head"), "not within the residual block"


def test_everything_trained_has_nothing_below() -> None:
    network = small_network()
    images = torch.randn(2, 3, 32, 32)
    opened = open_below(trace(network), ids(network, ""))
    assert opened.below is None and run_below(None, images) is images
    assert parameters(opened.above) == ids(network, "")


def test_a_parameter_that_reaches_the_picture_later() -> None:
    class Added(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(4))
            self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            shift = self.shift * 2
            return self.last(self.first(x.mean((2, 3))) + shift)

    network = Added().eval()
    opened = open_below(trace(network), ids(network, "shift"))
    assert opened.below is not None and parameters(opened.below) == ids(network, "first")
    assert parameters(opened.above) == ids(network, "shift", "last")


def test_stochastic_depth_acts_while_it_trains_only() -> None:
    class Deep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop, self.last = torchvision.ops.StochasticDepth(0.5, "row"), nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.drop(x).mean((2, 3)))

    graph = trace(Deep().eval())
    images = torch.ones(64, 3, 4, 4)
    with torch.no_grad():
        assert len(graph(images).unique(dim=0)) == 1
        graph.train()
        assert len(graph(images).unique(dim=0)) == 2
