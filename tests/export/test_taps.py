from __future__ import annotations

import pytest
import torch
from export_samples import small_network
from torch import Tensor, nn

from edge_agent.errors import InputError
from edge_agent.manifest import ImageSpec
from export import source, taps
from export.source import Weights
from export.tapped import Tapped
from export.taps import Cut, Tap

RANDOM = Weights(None, "random weights", None, None)


def network(name: str, size: int) -> nn.Module:
    spec = ImageSpec((size, size), size, "bilinear", (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    return source.build(name, RANDOM, 7, spec, 0).module


def stages(found: Cut) -> list[tuple[str, int]]:
    return [(tap.name, tap.channels) for tap in found.taps]


class TestSmallNetwork:
    def test_cut(self) -> None:
        found = taps.cut(small_network(), 32, 32)
        assert (found.last_layer, found.kind) == ("head.3", "linear")
        assert found.features == Tap("head_2", (), 20)
        assert stages(found) == [("add", 8), ("second_1", 16)], "the last of each stage; the final stage is what the features come from"

    @pytest.mark.parametrize("side", [16, 9, 8])
    def test_tiny_pictures_whose_last_stages_are_one_pixel(self, side: int) -> None:
        assert [channels for _, channels in stages(taps.cut(small_network(), side, side))] == [8, 16]

    def test_oblong_pictures(self) -> None:
        assert [channels for _, channels in stages(taps.cut(small_network(), 32, 48))] == [8, 16]


@pytest.mark.parametrize(
    ("name", "size", "last", "kind", "width", "channels"),
    [
        ("mobilenet_v3_small", 64, "classifier.3", "linear", 1024, [16, 72, 96, 288]),
        ("resnet18", 64, "fc", "linear", 512, [64, 64, 128, 256]),
        ("resnet18", 32, "fc", "linear", 512, [64, 64, 128, 256]),
        ("shufflenet_v2_x1_0", 64, "fc", "linear", 1024, [24, 24, 116, 232]),
        ("efficientnet_b0", 64, "classifier.1", "linear", 1280, [96, 144, 240, 672]),
        ("vit_b_32", 64, "heads.head", "linear", 768, [768, 768, 768]),
        ("convnext_tiny", 64, "classifier.2", "linear", 768, [96, 192, 384]),
        ("squeezenet1_1", 64, "classifier.1", "other", 512, [64, 128, 256]),
        ("regnet_x_400mf", 64, "fc", "linear", 400, [32, 32, 64, 160]),
    ],
)
def test_families(name: str, size: int, last: str, kind: str, width: int, channels: list[int]) -> None:
    whole = network(name, size)
    found = taps.cut(whole, size, size)
    assert (found.last_layer, found.kind, found.features.channels) == (last, kind, width)
    assert [tap.channels for tap in found.taps] == channels
    image = torch.rand(2, 3, size, size)
    with torch.no_grad():
        logits, features, earlier = Tapped(found).eval()(image)
        assert torch.equal(logits, whole(image))
    assert features.shape == (2, width) and earlier.shape == (2, sum(channels))


@pytest.mark.parametrize(
    ("name", "size", "width", "channels"),
    [
        ("alexnet", 64, 4096, [64, 192, 256]),
        ("densenet121", 64, 1024, [64, 128, 256, 512]),
        ("googlenet", 64, 1024, [64, 192, 480, 832]),
        ("inception_v3", 96, 2048, [64, 192, 288, 768]),
        ("mnasnet0_5", 64, 1280, [24, 48, 144, 288]),
        ("swin_t", 64, 768, [96, 192, 384]),
        ("vgg11", 64, 4096, [128, 256, 512, 512]),
    ],
)
def test_more_families_by_their_shapes_alone(name: str, size: int, width: int, channels: list[int]) -> None:
    found = taps.cut(source.outline(name), size, size)
    assert found.kind == "linear" and found.features.channels == width
    assert [tap.channels for tap in found.taps] == channels


class Tokens(nn.Module):
    """A small transformer: every block has the same shape, and the first token is the answer."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 12, 8, 8)
        self.blocks = nn.ModuleList(nn.Sequential(nn.LayerNorm(12), nn.Linear(12, 12)) for _ in range(blocks))
        self.head = nn.Linear(12, 5)

    def forward(self, image: Tensor) -> Tensor:
        torch._assert(image.shape[2] == 32, "one size only")
        x = self.patch(image).flatten(2).permute(0, 2, 1)
        for block in self.blocks:
            x = x + block(x)
        result: Tensor = self.head(x[:, 0])
        return result


def test_transformers_are_tapped_at_evenly_spaced_blocks() -> None:
    found = taps.cut(Tokens(8).eval(), 32, 32)
    assert [tap.name for tap in found.taps] == ["add_1", "add_3", "add_6"]
    assert all(tap.axes == (1,) and tap.channels == 12 for tap in found.taps), "averaged over tokens, not over channels"


def test_transformer_of_one_block() -> None:
    assert 1 <= len(taps.cut(Tokens(1).eval(), 32, 32).taps) <= 3


class OneStage(nn.Module):
    """No halving of the resolution at all."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(*(nn.Conv2d(3 if i == 0 else 6, 6, 3, 1, 1) for i in range(5)))
        self.head = nn.Linear(6, 3)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.head(self.body(image).mean((2, 3)))
        return result


def test_network_of_one_stage_is_tapped_inside_it() -> None:
    found = taps.cut(OneStage().eval(), 16, 16)
    assert 2 <= len(found.taps) <= 4 and all(tap.channels == 6 and tap.axes == (2, 3) for tap in found.taps)


class ChannelsLast(nn.Module):
    """As swin: `[N, H, W, C]`, where the channel count may equal the side."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(3, 8, 2, 2), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, image: Tensor) -> Tensor:
        x = self.first(image).permute(0, 2, 3, 1)
        x = self.second(x)
        x = x[:, ::2, ::2]
        result: Tensor = self.head(x.mean((1, 2)))
        return result


def test_layout_is_told_even_where_all_sides_are_equal() -> None:
    found = taps.cut(ChannelsLast().eval(), 16, 16)  # 8×8 positions, 8 channels
    assert [(tap.name, tap.axes, tap.channels) for tap in found.taps] == [("second", (1, 2), 8)]


class OneSize(nn.Module):
    """Takes one size only, so that the layout must be told from the shapes; passes maps of both layouts and what is neither."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side
        self.first, self.second, self.third = nn.Conv2d(3, 6, 2, 2), nn.Conv2d(6, 10, 2, 2), nn.Linear(10, 10)
        self.fourth, self.head = nn.Conv2d(10, 12, 2, 2), nn.Linear(12, 3)

    def forward(self, image: Tensor) -> Tensor:
        torch._assert(image.shape[2] == self.side, "one size only")
        x = self.second(self.first(image))
        x = self.third(x.permute(0, 2, 3, 1))
        windows = x.reshape(x.shape[0], 2, 2 * x.shape[1] * x.shape[2] // 4, 10)  # neither layout: passed over
        x = windows.reshape(x.shape[0], self.side // 4, self.side // 4, 10).permute(0, 3, 1, 2)
        result: Tensor = self.head(self.fourth(x).mean((2, 3)))
        return result


def test_layout_of_a_network_that_takes_one_size_only() -> None:
    found = taps.cut(OneSize(16).eval(), 16, 16)
    assert [(tap.axes, tap.channels) for tap in found.taps] == [((2, 3), 6), ((2, 3), 10)]
    last_of_second_stage = {node.name for node in found.graph.graph.nodes if node.op == "call_method"}
    assert found.taps[1].name in last_of_second_stage, "the last of the stage is the permuted one"


def test_channels_last_maps_of_one_size() -> None:
    assert taps._fixed_tap("x", (2, 7, 7, 96)) == Tap("x", (1, 2), 96)
    assert taps._fixed_tap("x", (2, 96, 7, 7)) == Tap("x", (2, 3), 96)
    assert taps._fixed_tap("x", (2, 64, 49, 96)) is None, "windows: neither"
    assert taps._fixed_tap("x", (2, 96, 1, 1)) is None, "pooled already"
    assert taps._fixed_tap("x", (2, 49, 96)) == Tap("x", (1,), 96)


class ManyNumbers(nn.Module):
    """A linear layer on every position, in place of one on the pooled features."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Conv2d(3, 6, 3, 2, 1), nn.Linear(6, 4)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.head(self.body(image).permute(0, 2, 3, 1)).mean((1, 2))
        return result


def test_linear_layer_on_every_position_is_averaged_and_not_called_linear() -> None:
    found = taps.cut(ManyNumbers().eval(), 16, 16)
    assert found.kind == "other" and found.features.axes == (1, 2) and found.features.channels == 6


class LastOfFive(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.head(image.reshape(image.shape[0], 3, 2, -1, 4)).mean((1, 2, 3))
        return result


def test_features_of_a_shape_that_nobody_can_average() -> None:
    with pytest.raises(InputError, match=r"what enters the last layer is reshape of shape \(3, 2, 8, 4\), expected 4 numbers"):
        taps.cut(LastOfFive().eval(), 8, 8)


class ReadsValue(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 2)

    def forward(self, image: Tensor) -> Tensor:
        flat = image.flatten(1)
        if flat.sum() > 0:
            flat = -flat
        result: Tensor = self.layer(flat)
        return result


def test_network_that_cannot_be_traced() -> None:
    with pytest.raises(InputError, match=r"ReadsValue cannot be traced by torch.fx: .*; hint: take branches") as caught:
        taps.cut(ReadsValue(), 2, 2)
    assert "\n" not in str(caught.value)


class LastNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(12, 2), nn.LayerNorm(2)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.norm(self.layer(image.flatten(1)))
        return result


def test_network_that_does_not_end_with_its_classifier() -> None:
    with pytest.raises(InputError, match="node norm, a LayerNorm, expected a Linear or Conv2d"):
        taps.cut(LastNorm().eval(), 2, 2)


def test_network_without_parameters() -> None:
    with pytest.raises(InputError, match="no layer with parameters"):
        taps.cut(nn.Flatten(), 2, 2)


def test_network_with_nothing_to_tap() -> None:
    with pytest.raises(InputError, match="no place that everything flows through"):
        taps.cut(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), 2, 2)


def test_scores_that_are_scaled_after_the_last_layer_are_not_linear() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = small_network()

        def forward(self, image: Tensor) -> Tensor:
            result: Tensor = self.inner(image) * 2
            return result

    assert taps.cut(Scaled().eval(), 32, 32).kind == "other"


@pytest.mark.parametrize(("name", "size"), [("inception_v3", 64), ("alexnet", 16)])
def test_pictures_that_are_too_small(name: str, size: int) -> None:
    with pytest.raises(InputError, match=f"does not take pictures of {size}×{size} px: .*; hint: give another --input-size") as caught:
        taps.cut(network(name, size), size, size)
    assert "\n" not in str(caught.value)
