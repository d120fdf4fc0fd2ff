"""A network that one ONNX file cannot hold: the limit is made small here, so that a small network is one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from export_samples import COLOURS, Sample, picture, small_network, write_artifact
from torch import nn

from edge_agent import EdgeAgent
from edge_agent.artifact import Artifact
from edge_agent.errors import ArtifactError, InputError
from export import clean, printing, taps, two_files
from export.backbone_graph import to_onnx
from export.tail import TAPPED_OUTPUTS
from export.tapped import Tapped
from export.verify import verify


@pytest.fixture(scope="module")
def parted(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small network, 25 kB of numbers, where a file holds 20 kB of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(two_files, "ROOM_BYTES", clean.LIMIT_BYTES - 20_000)
        return write_artifact(sample, tmp_path_factory.mktemp("parted") / "small")


def test_it_verifies(parted: Path, built: Path) -> None:
    files, whole = Artifact.open(parted).manifest.files, Artifact.open(built).manifest.files
    assert set(files) - set(whole) == {"backbone-2.onnx"}
    assert len(verify(parted).checks) == 6
    parts = files["backbone.onnx"].bytes, files["backbone-2.onnx"].bytes
    assert min(parts) > 4_000, "both hold something of the network"
    assert printing.memory_bytes(Artifact.open(parted).manifest) > printing.MEMORY_PER_BYTE * sum(parts)


def test_it_answers_as_one_file_does(parted: Path, built: Path, tmp_path: Path) -> None:
    one, two = (EdgeAgent.open(path, tmp_path / name) for name, path in (("a", built), ("b", parted)))
    images = np.random.default_rng(0).normal(size=(5, 3, 32, 32)).astype(np.float32)
    for name in ("logits", "features", "context"):
        assert np.allclose(getattr(one.run_backbone(images), name), getattr(two.run_backbone(images), name), atol=1e-5)
    seen = two.predict(picture(COLOURS["green"], 99))
    right = next(label for label in two.labels if label != seen.label)
    two.correct(seen, right, force=True)
    assert two.predict(picture(COLOURS["green"], 99)).label == right
    assert two.health().checks and one.predict(picture(COLOURS["red"], 1)).label == EdgeAgent.open(parted, tmp_path / "c").predict(
        picture(COLOURS["red"], 1)
    ).label


def test_corrected_network_cannot_be_one_file(parted: Path, tmp_path: Path) -> None:
    agent = EdgeAgent.open(parted, tmp_path / "state")
    with pytest.raises(InputError, match="lies in two files"):
        agent.export_onnx(tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_files_that_do_not_fit_each_other(parted: Path, tmp_path: Path, reseal: Callable[[Path], None]) -> None:
    folder = shutil.copytree(parted, tmp_path / "changed")
    model = onnx.load(folder / "backbone-2.onnx")
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value += 1
    (folder / "backbone-2.onnx").write_bytes(model.SerializeToString())
    reseal(folder)
    with pytest.raises(ArtifactError, match=r"backbone.onnx has the outputs"):
        verify(folder)
    shutil.copy(parted / "backbone.onnx", folder / "backbone-2.onnx")
    reseal(folder)
    with pytest.raises(ArtifactError, match=r"backbone-2.onnx has the (in|out)puts"):
        verify(folder)


def test_one_half_damaged(parted: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(parted, tmp_path / "damaged")
    content = bytearray((folder / "backbone-2.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "backbone-2.onnx").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"backbone-2.onnx was changed"):
        EdgeAgent.open(folder, tmp_path / "state")


@pytest.mark.parametrize("name", ["resnet18", "vit_b_32", "swin_t", "densenet121", "regnet_y_400mf", "convnext_tiny"])
def test_halves_compute_the_whole(name: str) -> None:
    """With real numbers of random weights, at a small size; the larger part has less than three quarters of them."""
    from export import source

    given = source.Weights(None, "random weights", None, None)
    spec = source.image_spec(name, None, source.Overrides(input_size_px=64))
    network = source.build(name, given, 4, spec, 0).module
    opened = Tapped(taps.cut(network, 64, 64)).eval()
    features, *others = opened.points
    with torch.no_grad():
        image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        first, second = two_files.halves(opened.network, features, tuple(others), _Together())
        found, expected = second(*first(image)), opened(image)
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(found, expected, strict=True))
    split = two_files.place(opened.network)
    assert max(split.first, split.second) < 0.75 * (split.first + split.second)


class _Together(nn.Module):
    def forward(self, *parts: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return parts


def test_too_large_for_two(sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two_files, "ROOM_BYTES", clean.LIMIT_BYTES - 2_000)
    with pytest.raises(InputError, match=r"bytes, two ONNX files hold"):
        write_artifact(sample, tmp_path / "large")
    assert [path.name for path in tmp_path.iterdir()] == ["home"], "nothing was kept"


def test_nowhere_to_cut() -> None:
    class Wide(nn.Module):
        """What enters is used at the very end again."""

        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.two(self.one(image) + image) * image

    graph = torch.fx.symbolic_trace(Wide())
    copied = torch.fx.Graph()
    mapping: dict[torch.fx.Node, torch.fx.Node] = {}
    result = copied.graph_copy(graph.graph, mapping)
    copied.output((result, result))
    with pytest.raises(InputError, match="no place where it could be cut"):
        two_files.place(torch.fx.GraphModule(graph, copied))


def test_quantising_takes_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Tapped(taps.cut(small_network(), 32, 32)).eval()
    monkeypatch.setattr(two_files, "ROOM_BYTES", clean.LIMIT_BYTES - 20_000)
    with pytest.raises(InputError, match="more numbers than one ONNX file holds"):
        to_onnx(network, TAPPED_OUTPUTS, 32, 32)
