from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from export_samples import small_network
from safetensors.torch import save_file

from edge_agent.errors import InputError
from export import weights


def state() -> dict[str, torch.Tensor]:
    return small_network().state_dict()


def saved(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize("wrap", ["state_dict", "model_state_dict", "model"])
def test_checkpoints_with_more_in_them(wrap: str, tmp_path: Path) -> None:
    read = weights.read_state(saved({wrap: state(), "epoch": 3, "optimizer": {"lr": 0.1}}, tmp_path / "w.pth"))
    assert list(read) == list(state())


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod."])
def test_prefixes_of_wrappers_are_taken_away(prefix: str, tmp_path: Path) -> None:
    read = weights.read_state(saved({prefix + name: value for name, value in state().items()}, tmp_path / "w.pth"))
    assert list(read) == list(state())


def test_safetensors(tmp_path: Path) -> None:
    save_file(state(), tmp_path / "w.safetensors")
    read = weights.read_state(tmp_path / "w.safetensors")
    assert all(torch.equal(read[name], value) for name, value in state().items())


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("evil-was-here"),))


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "text", "pickle", "module", "list", "numbers", "cut", "safetensors"])
def test_files_that_are_no_weights(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind in ("text", "safetensors"):
        path.write_text("these are not weights, not at all")
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(Evil()))
    elif kind == "module":
        saved(small_network(), path)
    elif kind == "list":
        saved([1, 2], path)
    elif kind == "numbers":
        saved({"a": 1}, path)
    elif kind == "cut":
        data = saved(state(), path).read_bytes()
        path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError) as caught:
        weights.read_state(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value) and caught.value.hint
    assert not (tmp_path / "evil-was-here").exists()


def test_loading_fills_the_network() -> None:
    network = small_network(seed=1)
    weights.load(network, state(), "these")
    assert all(torch.equal(network.state_dict()[name], value) for name, value in state().items())


def test_batches_tracked_may_be_missing_and_half_floats_are_taken() -> None:
    kept = {name: value.half() if value.is_floating_point() else value for name, value in state().items() if "tracked" not in name}
    weights.load(small_network(seed=1), kept, "these")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda s: s.pop("second.0.bias"), "these lack second.0.bias"),
        (lambda s: s.update(extra=torch.zeros(1)), "these have the unexpected extra"),
        (
            lambda s: s.update({"second.0.weight": torch.zeros(2, 2)}),
            r"these have another shape: second.0.weight \(2, 2\), expected \(16, 8, 3, 3\)",
        ),
        (lambda s: s["stem.0.weight"].fill_(float("nan")), "these hold NaN or Inf in stem.0.weight"),
        (lambda s: s["stem.1.running_var"].fill_(float("inf")), "these hold NaN or Inf in stem.1.running_var"),
    ],
    ids=["missing", "unexpected", "shape", "nan", "inf"],
)
def test_weights_that_do_not_fit(change: Any, found: str) -> None:
    changed = {name: value.clone() for name, value in state().items()}
    change(changed)
    network = small_network()
    with pytest.raises(InputError, match=found) as caught:
        weights.load(network, changed, "these")
    assert "\n" not in str(caught.value)


def test_only_the_first_names_are_shown() -> None:
    with pytest.raises(InputError, match=r"lack stem.0.weight, stem.0.bias, stem.1.weight and \d+ more"):
        weights.load(small_network(), {}, "these")


def test_old_densenet_names_are_read(tmp_path: Path) -> None:
    old = {"features.denseblock1.denselayer1.norm.1.weight": torch.ones(2), "features.denseblock1.denselayer1.conv.2.weight": torch.ones(2)}
    read = weights.read_state(saved(old, tmp_path / "w.pth"))
    assert list(read) == ["features.denseblock1.denselayer1.norm1.weight", "features.denseblock1.denselayer1.conv2.weight"]


def test_old_vit_names_are_read(tmp_path: Path) -> None:
    old = {f"encoder.layers.encoder_layer_3.mlp.linear_{place}.{kind}": torch.ones(2) for place in (1, 2) for kind in ("weight", "bias")}
    read = weights.read_state(saved(old, tmp_path / "w.pth"))
    assert list(read) == [f"encoder.layers.encoder_layer_3.mlp.{place}.{kind}" for place in (0, 3) for kind in ("weight", "bias")]


def test_weights_without_torchs_record_of_versions(tmp_path: Path) -> None:
    """Only tensors are read from a file; mnasnet's own loader refuses them."""
    from torchvision.models import mnasnet0_5

    trained, fresh = mnasnet0_5(num_classes=3), mnasnet0_5(num_classes=3)
    weights.load(fresh, weights.read_state(saved(trained.state_dict(), tmp_path / "w.pth")), "these")
    assert weights.state_digest(fresh) == weights.state_digest(trained)


def test_torchvisions_own_file_is_recognised(tmp_path: Path) -> None:
    path = saved(state(), tmp_path / "any name.pth")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    mine = SimpleNamespace(url=f"https://example.org/x-{digest[:8]}.pth")
    other = SimpleNamespace(url="https://example.org/x-00000000.pth")
    nameless = SimpleNamespace(url="https://example.org/x.pth")
    assert weights.recognise(path, [nameless, other, mine]) is mine  # type: ignore[comparison-overlap, list-item]
    assert weights.recognise(path, [nameless, other]) is None  # type: ignore[list-item]


def test_failed_download_says_what_to_fetch_and_where_to_give_it() -> None:
    def fail(**_: object) -> None:
        raise OSError("Name or service not known\nand more")

    entry = SimpleNamespace(url="https://example.org/models/resnet18-f37072fd.pth", get_state_dict=fail)
    with pytest.raises(InputError) as caught:
        weights.download(entry)  # type: ignore[arg-type]
    text = str(caught.value)
    assert "fetch https://example.org/models/resnet18-f37072fd.pth" in text and "--weights resnet18-f37072fd.pth" in text
    assert "Name or service not known" in text and "and more" not in text


def test_download_gives_the_tensors() -> None:
    entry = SimpleNamespace(url="https://example.org/a.pth", get_state_dict=lambda **_: {"module.a": torch.ones(1)})
    assert list(weights.download(entry)) == ["a"]  # type: ignore[arg-type]


def test_digest_is_that_of_the_numbers_in_the_order_of_their_names() -> None:
    network = torch.nn.Linear(2, 1)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[1.0, 2.0]]))
        network.bias.copy_(torch.tensor([3.0]))
    expected = hashlib.sha256(b"\x00\x00\x40\x40" + b"\x00\x00\x80\x3f" + b"\x00\x00\x00\x40").hexdigest()
    assert weights.state_digest(network) == expected
    assert weights.state_digest(small_network(seed=0)) != weights.state_digest(small_network(seed=1))
