"""The network: a torchvision name and weights become a module in evaluation mode, with its preset and its classes."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torchvision
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from edge_agent.errors import InputError, UsageError
from edge_agent.manifest import ImageSpec
from export import factories, taps, weights

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

FACTORY_PRESET = "resnet18"  # 224 of 256 px, ImageNet's mean and deviation: what is usual
AUXILIARY = ("googlenet", "inception_v3")
AUXILIARY_PREFIXES = ("aux1.", "aux2.", "AuxLogits.")


@dataclass(frozen=True)
class Weights:
    """Where the numbers of the network come from.

    Attributes:
        state: name → tensor, or None for random numbers.
        where: what an error calls them.
        entry: torchvision's entry, where the file is torchvision's own.
        classes: how many classes they have, or None where they are random.
    """

    state: Mapping[str, Tensor] | None
    where: str
    entry: WeightsEnum | None
    classes: int | None


@dataclass(frozen=True)
class Source:
    """A network ready to be cut.

    Attributes:
        name: torchvision's name, or `package.module:factory`.
        module: the network, in evaluation mode, without gradients.
        weights: where its numbers come from.
    """

    name: str
    module: nn.Module
    weights: Weights

    @property
    def random(self) -> bool:
        """Whether its numbers are random; what a factory makes of itself is its own affair."""
        return self.weights.state is None and not factories.is_factory(self.name)

    @property
    def parameters(self) -> int:
        """How many numbers the network has."""
        return sum(parameter.numel() for parameter in self.module.parameters())


@dataclass(frozen=True)
class Overrides:
    """What the user says about the input; None keeps the preset's value."""

    input_size_px: int | None = None
    resize_px: int | None = None
    interpolation: str | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None


def names() -> list[str]:
    """Torchvision's classifiers, sorted."""
    return list(torchvision.models.list_models(module=torchvision.models))


def check_name(name: str) -> None:
    """Refuse a name that torchvision does not have, and a factory that is not there.

    Raises:
        UsageError: with the nearest names.
        InputError: the module of a factory cannot be imported.
    """
    if factories.is_factory(name):
        factories.takes_classes(name)
        return
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=3, cutoff=0.4)
        hint = f"nearest names: {', '.join(near)}" if near else "see edge-export models, or give package.module:factory"
        raise UsageError(f"--model {name!r} is no classifier of torchvision {torchvision.__version__}", hint)


def read_weights(name: str, weights_option: str) -> Weights:
    """Read what `--weights` names.

    Args:
        name: torchvision's name of the network.
        weights_option: a file, `default` (torchvision's pretrained weights) or `none` (random).

    Returns:
        The weights; a file that is torchvision's own is recognised by its digest.

    Raises:
        InputError: the file cannot be used, belongs to another architecture, or the download failed.
        UsageError: `default` for a factory.
    """
    if factories.is_factory(name):
        return _factory_weights(name, weights_option)
    entries = torchvision.models.get_model_weights(name)
    if weights_option == "none":
        return Weights(None, "random weights", None, None)
    if weights_option == "default":
        entry, where = entries.DEFAULT, f"torchvision's weights {entries.DEFAULT}"
        state = weights.download(entry)
    else:
        path = Path(weights_option)
        where, state = f"the weights of {path}", weights.read_state(path)
        entry = weights.recognise(path, entries)
    return Weights(state, where, entry, class_count(state, last_layer_name(name), where))


def image_spec(name: str, entry: WeightsEnum | None, overrides: Overrides) -> ImageSpec:
    """Torchvision's preset for the weights, with what the user overrides.

    `--input-size N` alone means N×N with the shorter side resized to N: a preset's margin belongs to its own size.

    Args:
        name: torchvision's name of the network.
        entry: torchvision's weights, or None: then those of its default entry are the preset.
        overrides: the user's values.

    Returns:
        The spec.

    Raises:
        UsageError: sizes, deviations or an interpolation that no picture can have.
    """
    like = FACTORY_PRESET if factories.is_factory(name) else name
    preset = (entry or torchvision.models.get_model_weights(like).DEFAULT).transforms()
    size, resize = overrides.input_size_px, overrides.resize_px
    crop = size or int(preset.crop_size[0])
    resize = resize or size or int(preset.resize_size[0])
    if resize < crop:
        hint = "the crop would be padded with black: give at least the input size"
        raise UsageError(f"--resize {resize} is less than the input size {crop}", hint)
    mean, std = overrides.mean or tuple(preset.mean), overrides.std or tuple(preset.std)
    if not all(value > 0 for value in std):
        raise UsageError(f"--std {' '.join(map(str, std))} is not positive", "give the deviation of pictures in 0…1")
    return ImageSpec((crop, crop), resize, overrides.interpolation or preset.interpolation.value, mean, std)


def last_layer_name(name: str) -> str:
    """The name of the network's last layer, found by tracing it without its numbers.

    Raises:
        InputError: the network cannot be traced.
    """
    return taps.last_layer(taps.trace(outline(name))).name


def outline(name: str) -> nn.Module:
    """The network without the memory and the time of its numbers: its weights lie on the meta device.

    Cost: milliseconds, whatever the network's size; a factory is called as it is.
    """
    if factories.is_factory(name):
        return factories.make(name, None)
    with _UnallocatedWeights():
        return _construct(name, {})


def build(name: str, given: Weights, classes: int, spec: ImageSpec, seed: int) -> Source:
    """Construct the network and load its weights.

    Args:
        name: torchvision's name.
        given: from `read_weights`.
        classes: number of labels; used where the weights are random, else they say it.
        spec: the input; networks that are built for one size (vit, maxvit) are built for this one.
        seed: of random weights.

    Returns:
        The source.

    Raises:
        InputError: the weights belong to another architecture or input size, or are not finite.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            module = _made(name, given, given.classes or classes, spec)
        except (ValueError, RuntimeError, AssertionError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise InputError(f"{name} cannot be built for {spec.crop_px[0]} px: {reason}", "give another --input-size") from None
    if given.state is not None:
        _check_positions(name, module, given, spec)
        weights.load(module, given.state, given.where)
    if name in AUXILIARY and given.entry is not None:
        module.transform_input = True  # type: ignore[assignment]  # a plain attribute of these two, set by their pretrained builder
    return Source(name, module.requires_grad_(False), given)


def class_count(state: Mapping[str, Tensor], last_layer: str, where: str) -> int:
    """How many classes weights have, from their last layer.

    Args:
        state: name → tensor.
        last_layer: its name.
        where: what an error calls the weights.

    Raises:
        InputError: the weights have no such layer.
    """
    weight = state.get(f"{last_layer}.weight")
    if weight is None or weight.ndim < 2:
        found = ", ".join(list(state)[-2:])
        raise InputError(f"{where} have no {last_layer}.weight; their last are {found}", "are they weights of this --model?")
    return int(weight.shape[0])


def _factory_weights(name: str, weights_option: str) -> Weights:
    if weights_option == "default":
        raise UsageError(f"--weights default is for torchvision's networks, --model is {name}", "give a file or none")
    if weights_option == "none":
        layer = None if factories.takes_classes(name) else outline(name).get_submodule(last_layer_name(name))
        classes = getattr(layer, "out_features", None) or getattr(layer, "out_channels", None)
        return Weights(None, "the numbers of the factory", None, classes)
    state, where = weights.read_state(Path(weights_option)), f"the weights of {weights_option}"
    return Weights(state, where, None, class_count(state, last_layer_name(name), where))


def _made(name: str, given: Weights, classes: int, spec: ImageSpec) -> nn.Module:
    if factories.is_factory(name):
        return factories.make(name, classes)
    options: dict[str, object] = {"num_classes": classes, **_size_option(name, spec.crop_px[0]), **_auxiliary_option(name, given.state)}
    return _construct(name, options)


class _UnallocatedWeights(TorchFunctionMode):
    """Puts what `torch.empty` makes, and so every layer's weights, on the meta device and leaves out filling them.

    Other tensors stay real: regnet's constructor reads some.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call through; `torch.empty` with another device, in-place changes of what has no numbers not at all."""
        name = getattr(func, "__name__", "")
        if name.endswith("_") and not name.endswith("__") and args and isinstance(args[0], Tensor) and args[0].is_meta:
            return args[0]
        return func(*args, **({**(kwargs or {}), "device": "meta"} if func is torch.empty else (kwargs or {})))


def _construct(name: str, options: Mapping[str, object]) -> nn.Module:
    if name in AUXILIARY:
        options = {"aux_logits": False, "init_weights": False, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module: nn.Module = torchvision.models.get_model(name, weights=None, **options)
    return module.eval()


def _size_option(name: str, size: int) -> dict[str, object]:
    if name.startswith("vit_"):
        return {"image_size": size}
    return {"input_size": (size, size)} if name.startswith("maxvit") else {}


def _auxiliary_option(name: str, state: Mapping[str, Tensor] | None) -> dict[str, object]:
    if name not in AUXILIARY:
        return {}
    return {"aux_logits": any(key.startswith(AUXILIARY_PREFIXES) for key in state or {})}


def _check_positions(name: str, module: nn.Module, given: Weights, spec: ImageSpec) -> None:
    key = "encoder.pos_embedding"
    if not name.startswith("vit_") or given.state is None or key not in given.state:
        return
    found, expected = given.state[key].shape, module.state_dict()[key].shape
    if found != expected:
        patch = int(str(name).rsplit("_", 1)[1])
        size = round((found[1] - 1) ** 0.5) * patch
        raise InputError(f"{given.where} are for pictures of {size} px, the input is {spec.crop_px[0]} px", f"give --input-size {size}")
