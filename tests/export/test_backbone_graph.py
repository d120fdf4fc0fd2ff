from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from export_samples import Sample
from torch import Tensor, nn

from edge_agent.errors import InputError
from export import clean
from export.backbone_graph import Backbone, write_backbone
from export.statistics import ContextMap
from export.tapped import Tapped
from export.written import WrittenBackbone


@pytest.fixture(scope="module")
def file(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graphs") / "backbone.onnx"
    write_backbone(sample[2].backbone, 32, 32, path)
    return path


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_any_number_of_pictures(count: int, file: Path, sample: Sample) -> None:
    image = torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(count))
    with torch.no_grad():
        expected = sample[2].backbone(image)
    for found, wanted in zip(WrittenBackbone(file).run(image.numpy()), expected, strict=True):
        assert found.shape == wanted.shape and np.abs(found - wanted.numpy()).max() < 1e-5


def test_logits_are_divided_by_the_temperature(sample: Sample) -> None:
    image = torch.rand(2, 3, 32, 32)
    fitted, network = sample[2], sample[1].network.module
    with torch.no_grad():
        logits, features, context = fitted.backbone(image)
        assert torch.allclose(logits, network(image) / fitted.backbone.temperature)
    assert features.shape == (2, 20)
    assert torch.allclose(context.norm(dim=1), torch.ones(2))


def test_context_is_that_of_the_statistics(sample: Sample) -> None:
    fitted = sample[2]
    image = torch.rand(3, 3, 32, 32)
    map_ = ContextMap(fitted.backbone.mean.numpy(), fitted.backbone.matrix.numpy())
    with torch.no_grad():
        _, features, earlier = fitted.backbone.network(image)
        context = fitted.backbone(image)[2].numpy()
    assert np.allclose(map_.apply(torch.cat([features, earlier], 1).numpy()), context, atol=1e-5)


def test_graph_is_plain_and_clean(file: Path) -> None:
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 20)]
    assert model.ir_version <= 10 and not model.functions and clean.fault(model) is None
    assert not {"BatchNormalization", "Dropout"} & {node.op_type for node in model.graph.node}
    content = file.read_bytes()
    for secret in (str(Path.cwd()), str(Path(torch.__file__).parent), "export_samples", "site-packages", "SmallNetwork"):
        assert secret.encode() not in content


def test_context_of_the_mean_is_not_a_number_divided_by_zero(sample: Sample, tmp_path: Path) -> None:
    class Constant(nn.Module):
        """Stands for the tapped network: the same features whatever it sees."""

        def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            zero = image.mean((2, 3)) * 0
            return zero, zero, zero

    still = Backbone(Constant(), 1.0, ContextMap(np.zeros(6, np.float32), np.eye(6, 4, dtype=np.float32))).eval()  # type: ignore[arg-type]
    write_backbone(still, 8, 8, tmp_path / "b.onnx")
    _, _, context = WrittenBackbone(tmp_path / "b.onnx").run(np.ones((2, 3, 8, 8), np.float32))
    assert np.isfinite(context).all() and not context.any()


def test_what_onnx_does_not_have(sample: Sample, tmp_path: Path) -> None:
    class Strange(nn.Module):
        def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            rows = torch.linalg.eigvalsh(image[:, 0])
            return rows, rows, rows

    eight = ContextMap(np.zeros(16, np.float32), np.eye(16, 4, dtype=np.float32))
    strange: Tapped = Strange()  # type: ignore[assignment]
    with pytest.raises(InputError, match="the network cannot be written as ONNX") as caught:
        write_backbone(Backbone(strange, 1.0, eight), 8, 8, tmp_path / "b.onnx")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "b.onnx").exists()


def test_the_same_network_gives_the_same_bytes(file: Path, sample: Sample, tmp_path: Path) -> None:
    write_backbone(sample[2].backbone, 32, 32, tmp_path / "again.onnx")
    assert file.read_bytes() == (tmp_path / "again.onnx").read_bytes()
