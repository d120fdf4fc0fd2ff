"""Weights: a state dict from a file or from torchvision, held against the network before it is loaded."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from edge_agent.errors import InputError

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

WRAPPERS = ("state_dict", "model_state_dict", "model")
PREFIXES = ("module.", "_orig_mod.", "model.")
OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\.(?:weight|bias|running_mean|running_var))$")
OLD_VIT = re.compile(r"^(encoder\.layers\.encoder_layer_\d+\.mlp)\.linear_([12])\.(weight|bias)$")


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file.

    Args:
        path: a `.safetensors` file, or one that `torch.save` wrote; only tensors are unpickled. A dict that keeps the tensors
            under `state_dict`, `model_state_dict` or `model`, and names that all begin with what `DataParallel` or
            `torch.compile` put there, are understood.

    Returns:
        Name → tensor, on the CPU.

    Raises:
        InputError: missing, not such a file, damaged, or without tensors.
    """
    hint = "give the state dict of the network, as torch.save(model.state_dict(), FILE) or safetensors write it"
    if not path.is_file():
        raise InputError(f"weights file {path}: no such file", hint)
    try:
        content = _load(path)
    except Exception as error:  # torch raises half a dozen kinds on foreign files
        reason = (str(error) or type(error).__name__).splitlines()[0][:160]
        raise InputError(f"weights file {path} cannot be read: {reason}", hint) from None
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        raise InputError(f"weights file {path} holds no state dict, but a {type(content).__name__} without tensors", hint)
    return _plain_names({str(name): value for name, value in content.items() if isinstance(value, Tensor)})


def download(entry: WeightsEnum) -> dict[str, Tensor]:
    """Torchvision's own weights, from its cache or its server.

    Raises:
        InputError: they cannot be fetched; the message names the file and the hint how to give it by hand.
    """
    try:
        state: Mapping[str, Tensor] = entry.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except Exception as error:  # URLError, OSError, RuntimeError on a wrong hash, …
        reason = (str(error) or type(error).__name__).splitlines()[0][:120]
        hint = f"fetch {entry.url} on another machine, copy it here and give --weights {entry.url.rsplit('/', 1)[1]}"
        raise InputError(f"torchvision's weights {entry} cannot be downloaded: {reason}", hint) from None
    return _plain_names(dict(state))


def recognise(path: Path, entries: Iterable[WeightsEnum]) -> WeightsEnum | None:
    """The entry whose file this is: torchvision's files carry the first eight digits of their SHA-256 in the name.

    Args:
        path: a weights file.
        entries: torchvision's weights of the model.

    Returns:
        The entry, or None: then the weights are the user's own.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    found = digest.hexdigest()
    return next((entry for entry in entries if _hash_in(entry.url) and found.startswith(_hash_in(entry.url))), None)


def load(module: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Put the tensors into the module, all of them and no others.

    Args:
        module: the network, with as many classes as the state has.
        state: name → tensor.
        where: what an error calls the weights.

    Raises:
        InputError: a tensor is missing, unexpected, of another shape, or holds NaN or Inf.
    """
    expected = module.state_dict()
    missing = [name for name in expected if name not in state and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in state if name not in expected]
    shapes = [
        f"{name} {tuple(state[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    ]
    hint = "were they saved from this --model?"
    for what, names in (("lack", missing), ("have the unexpected", unexpected), ("have another shape:", shapes)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise InputError(f"{where} {what} {', '.join(names[:3])}{more}", hint)
    broken = [name for name, tensor in state.items() if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())]
    if broken:
        raise InputError(f"{where} hold NaN or Inf in {', '.join(broken[:3])}", "take weights from before the training diverged")
    with torch.no_grad():  # and not load_state_dict: mnasnet's refuses tensors that do not bring torch's own record of its version
        for name, tensor in expected.items():
            if name in state:
                tensor.copy_(state[name])


def state_digest(module: nn.Module) -> str:
    """SHA-256 (hex) of the state dict's tensors, little-endian, in the order of their names."""
    digest = hashlib.sha256()
    for _, tensor in sorted(module.state_dict().items()):
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _load(path: Path) -> Any:
    if path.suffix.lower() == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _plain_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    renamed = {_today(name): value for name, value in state.items()}
    return renamed if len(renamed) == len(state) else state


def _today(name: str) -> str:
    """The name that torchvision gives a tensor today; its own files of densenet and vit have those of their day."""
    name = OLD_VIT.sub(lambda found: f"{found[1]}.{3 * (int(found[2]) - 1)}.{found[3]}", name)
    return OLD_DENSENET.sub(r"\1\2", name)


def _hash_in(url: str) -> str:
    found = re.search(r"-([0-9a-f]{8,})\.pth$", url)
    return found.group(1) if found else ""
