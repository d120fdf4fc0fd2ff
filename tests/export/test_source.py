from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import torchvision

from edge_agent.errors import InputError, UsageError
from edge_agent.manifest import ImageSpec
from export import source, taps
from export.source import Overrides, Weights

RANDOM = Weights(None, "random weights", None, None)


def spec(size: int) -> ImageSpec:
    return ImageSpec((size, size), size, "bilinear", (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))


def test_every_classifier_of_torchvision_is_offered() -> None:
    names = source.names()
    assert names == sorted(names) and len(names) >= 80
    source.check_name("mobilenet_v3_small")


@pytest.mark.parametrize(
    ("name", "nearest"), [("mobilnet_v3_smal", "mobilenet_v3_small"), ("ResNet-18", "resnet18"), ("vit-b16", "vit_b_16")]
)
def test_unknown_name_names_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(UsageError, match=f"{re.escape(repr(name))} is no classifier.*nearest names: .*{nearest}"):
        source.check_name(name)


def test_name_like_no_other() -> None:
    with pytest.raises(UsageError, match="see edge-export models"):
        source.check_name("§§§§")


def test_segmentation_networks_are_no_classifiers() -> None:
    with pytest.raises(UsageError):
        source.check_name("deeplabv3_resnet50")


class TestImageSpec:
    def test_preset(self) -> None:
        assert source.image_spec("mobilenet_v3_small", None, Overrides()) == ImageSpec(
            (224, 224), 256, "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        )
        found = source.image_spec("efficientnet_v2_l", None, Overrides())
        assert (found.crop_px, found.resize_px, found.interpolation, found.mean) == ((480, 480), 480, "bicubic", (0.5, 0.5, 0.5))

    def test_preset_of_the_weights_that_were_given(self) -> None:
        entry = torchvision.models.ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1
        assert source.image_spec("vit_b_16", entry, Overrides()).crop_px == (384, 384)

    def test_overrides(self) -> None:
        found = source.image_spec("resnet18", None, Overrides(64, 72, "bicubic", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)))
        assert found == ImageSpec((64, 64), 72, "bicubic", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))

    def test_input_size_alone_has_no_margin(self) -> None:
        found = source.image_spec("resnet18", None, Overrides(input_size_px=64))
        assert (found.crop_px, found.resize_px) == ((64, 64), 64)

    def test_crop_larger_than_the_picture(self) -> None:
        with pytest.raises(UsageError, match="--resize 32 is less than the input size 64"):
            source.image_spec("resnet18", None, Overrides(input_size_px=64, resize_px=32))

    def test_deviation_of_zero(self) -> None:
        with pytest.raises(UsageError, match=r"--std 0.0 0.5 0.5 is not positive"):
            source.image_spec("resnet18", None, Overrides(std=(0.0, 0.5, 0.5)))


class TestReadWeights:
    def test_none(self) -> None:
        assert source.read_weights("resnet18", "none") == RANDOM

    def test_file_says_how_many_classes(self, tmp_path: Path) -> None:
        network = torchvision.models.squeezenet1_1(num_classes=7)
        torch.save(network.state_dict(), tmp_path / "none.pth")
        found = source.read_weights("squeezenet1_1", str(tmp_path / "none.pth"))
        assert found.classes == 7 and found.entry is None and found.state is not None

    def test_weights_of_another_network(self, tmp_path: Path) -> None:
        torch.save(torchvision.models.squeezenet1_1(num_classes=7).state_dict(), tmp_path / "w.pth")
        with pytest.raises(InputError, match=r"have no fc.weight; their last are classifier.1.weight, classifier.1.bias"):
            source.read_weights("resnet18", str(tmp_path / "w.pth"))

    def test_default_that_cannot_be_fetched(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object, **__: object) -> None:
            raise OSError("no route to host")

        monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
        with pytest.raises(InputError, match=r"no route to host; hint: fetch https://\S+/resnet18-f37072fd.pth .*--weights resnet18-"):
            source.read_weights("resnet18", "default")

    def test_default_is_torchvisions_best(self, monkeypatch: pytest.MonkeyPatch) -> None:
        state = torchvision.models.squeezenet1_1().state_dict()
        monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: state)
        found = source.read_weights("squeezenet1_1", "default")
        assert found.classes == 1000
        assert found.entry is torchvision.models.SqueezeNet1_1_Weights.DEFAULT


class TestBuild:
    def test_random_weights_follow_the_seed(self) -> None:
        before = torch.random.get_rng_state()
        first, again, other = (source.build("squeezenet1_1", RANDOM, 5, spec(64), seed).module for seed in (0, 0, 1))
        key = "classifier.1.weight"
        assert torch.equal(first.state_dict()[key], again.state_dict()[key])
        assert not torch.equal(first.state_dict()[key], other.state_dict()[key])
        assert torch.equal(before, torch.random.get_rng_state()), "the caller's random numbers are left alone"
        assert not first.training and not any(p.requires_grad for p in first.parameters())

    def test_weights_arrive(self, tmp_path: Path) -> None:
        trained = torchvision.models.squeezenet1_1(num_classes=3).eval()
        torch.save({"state_dict": trained.state_dict()}, tmp_path / "w.pth")
        built = source.build("squeezenet1_1", source.read_weights("squeezenet1_1", str(tmp_path / "w.pth")), 99, spec(64), 0)
        image = torch.rand(2, 3, 64, 64)
        with torch.no_grad():
            assert torch.equal(built.module(image), trained(image))
        assert built.parameters == sum(p.numel() for p in trained.parameters())

    def test_transformers_are_built_for_their_input(self) -> None:
        built = source.build("vit_b_32", RANDOM, 2, spec(64), 0)
        with torch.no_grad():
            assert built.module(torch.zeros(1, 3, 64, 64)).shape == (1, 2)

    def test_input_that_a_network_cannot_have(self) -> None:
        with pytest.raises(InputError, match=r"vit_b_32 cannot be built for 65 px: .*; hint: give another --input-size"):
            source.build("vit_b_32", RANDOM, 2, spec(65), 0)

    def test_positions_of_another_input(self) -> None:
        state = source.build("vit_b_32", RANDOM, 2, spec(96), 0).module.state_dict()
        with pytest.raises(InputError, match="are for pictures of 96 px, the input is 64 px; hint: give --input-size 96"):
            source.build("vit_b_32", Weights(state, "these", None, 2), 2, spec(64), 0)

    @pytest.mark.parametrize("auxiliary", [False, True])
    def test_auxiliary_heads_may_be_there_or_not(self, auxiliary: bool) -> None:
        state = torchvision.models.googlenet(num_classes=4, aux_logits=auxiliary, init_weights=False).state_dict()
        built = source.build("googlenet", Weights(state, "these", None, 4), 4, spec(64), 0)
        with torch.no_grad():
            assert built.module(torch.zeros(1, 3, 64, 64)).shape == (1, 4)
        assert not built.module.transform_input

    def test_googlenets_own_weights_bring_their_transform(self) -> None:
        entry = torchvision.models.GoogLeNet_Weights.DEFAULT
        state = torchvision.models.googlenet(aux_logits=True, init_weights=False).state_dict()
        assert source.build("googlenet", Weights(state, "these", entry, 1000), 1000, spec(64), 0).module.transform_input


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("mobilenet_v3_small", "classifier.3"), ("resnet18", "fc"), ("vit_b_16", "heads.head"), ("squeezenet1_1", "classifier.1"),
        ("regnet_y_400mf", "fc"), ("inception_v3", "fc"), ("swin_t", "head"),
    ],
)  # fmt: skip
def test_last_layer_is_found_without_names(name: str, last: str) -> None:
    assert source.last_layer_name(name) == last


def test_outline_takes_no_memory_and_has_the_same_shapes() -> None:
    outline = source.outline("squeezenet1_1")
    real = torchvision.models.squeezenet1_1()
    assert all(parameter.is_meta for parameter in outline.parameters())
    assert {n: p.shape for n, p in outline.state_dict().items()} == {n: p.shape for n, p in real.state_dict().items()}
    assert torch.empty(1).device.type == "cpu", "the mode ends with the outline"
    assert taps.last_layer(taps.trace(outline)).width == 512
