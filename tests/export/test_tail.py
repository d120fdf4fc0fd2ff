from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from gated import PX, gated, images, ran, tapped_model

from export import statistics, taps
from export.backbone_graph import Backbone
from export.tail import with_tail
from export.tapped import Tapped


@pytest.fixture(scope="module")
def made() -> tuple[onnx.ModelProto, Backbone, onnx.ModelProto]:
    """The tapped network, the backbone in PyTorch, and the tapped network with its tail."""
    network = Tapped(taps.cut(gated(), PX, PX)).eval()
    with torch.no_grad():
        _, features, tapped = network(torch.from_numpy(images(64)))
    context = statistics.context_map(torch.cat([features, tapped], 1).numpy())
    model = tapped_model(gated())
    return model, Backbone(network, 1.7, context).eval(), with_tail(model, 1.7, context)


def test_the_tail_computes_what_the_backbone_does(made: tuple[onnx.ModelProto, Backbone, onnx.ModelProto]) -> None:
    pictures = images(16, 3)
    with torch.no_grad():
        expected = [part.numpy() for part in made[1](torch.from_numpy(pictures))]
    found = ran(made[2], pictures)
    for name, one, other in zip(("logits", "features", "context"), found, expected, strict=True):
        assert np.abs(one - other).max() < 1e-5, name
    assert np.abs(np.linalg.norm(found[2], axis=1) - 1).max() < 1e-5


def test_names_and_shapes_are_those_of_the_format(made: tuple[onnx.ModelProto, Backbone, onnx.ModelProto]) -> None:
    model = made[2]
    onnx.checker.check_model(model)
    shapes = [(v.name, [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]) for v in model.graph.output]
    assert shapes == [("logits", ["N", 4]), ("features", ["N", 24]), ("context", ["N", made[1].matrix.shape[1]])]
    assert [value.name for value in model.graph.input] == ["image"]


def test_the_tapped_network_is_left_as_it_was(made: tuple[onnx.ModelProto, Backbone, onnx.ModelProto]) -> None:
    assert [value.name for value in made[0].graph.output] == ["logits", "features", "taps"]
    assert not any(name.startswith("tail/") for node in made[0].graph.node for name in (*node.input, *node.output))


def test_a_picture_without_features_has_a_context_of_zeros_and_no_nan(made: tuple[onnx.ModelProto, Backbone, onnx.ModelProto]) -> None:
    still = statistics.ContextMap(made[1].mean.numpy(), np.zeros_like(made[1].matrix.numpy()))
    assert not ran(with_tail(made[0], 1.0, still), images(2))[2].any()
