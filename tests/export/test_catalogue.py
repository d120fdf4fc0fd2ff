from __future__ import annotations

import pytest
import torchvision

from export import catalogue, source
from export.catalogue import Network


@pytest.mark.parametrize(
    "expected",
    [
        Network("mobilenet_v3_small", 2_542_856, "classifier.3", "linear", 1024, 224),
        Network("resnet18", 11_689_512, "fc", "linear", 512, 224),
        Network("squeezenet1_1", 1_235_496, "classifier.1", "other", 512, 224),
        Network("vit_b_16", 86_567_656, "heads.head", "linear", 768, 224),
        Network("efficientnet_v2_s", 21_458_488, "classifier.1", "linear", 1280, 384),
        Network("regnet_y_400mf", 4_344_144, "fc", "linear", 440, 224),
    ],
    ids=lambda network: network.name,
)
def test_known_networks(expected: Network) -> None:
    found = catalogue.network(expected.name)
    assert found == expected
    assert found.last_layer == source.last_layer_name(expected.name), "the table agrees with the trace"
    assert found.parameters == torchvision.models.get_model_weights(expected.name).DEFAULT.meta["num_params"]


def test_all_of_them_come_one_at_a_time() -> None:
    stream = catalogue.networks()
    assert next(stream).name == source.names()[0] == "alexnet"
