from __future__ import annotations

import threading

import numpy as np
import pytest

from edge_agent import runtime
from edge_agent.artifact import Artifact
from edge_agent.errors import ArtifactError, RuntimeUnavailable
from edge_agent.image import ImageLimits, open_picture, to_tensor
from edge_agent.runtime import Backbone, Seen

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def golden(artifact: Artifact) -> np.ndarray:
    pictures = [artifact.read(f"golden/{n:02}.png") for n in range(artifact.manifest.golden.count)]
    return np.stack([to_tensor(open_picture(picture, ImageLimits()), artifact.manifest.image) for picture in pictures])


@pytest.fixture(scope="module")
def backbone(default_artifact: Artifact) -> Backbone:
    return Backbone.open(default_artifact, CPU, 1)


def test_golden_samples(backbone: Backbone, default_artifact: Artifact) -> None:
    images, expected = golden(default_artifact), default_artifact.statistics.golden_logits
    seen = backbone.run(images)
    assert np.abs(seen.logits - expected).max() <= default_artifact.manifest.golden.tolerance
    assert np.array_equal(seen.logits.argmax(1), expected.argmax(1))
    manifest, count = default_artifact.manifest, len(images)
    assert seen.logits.shape == (count, manifest.classes)
    assert seen.features.shape == (count, manifest.features)
    assert seen.context.shape == (count, manifest.directions)
    assert {array.dtype for array in (seen.logits, seen.features, seen.context)} == {np.dtype(np.float32)}
    assert np.allclose(np.linalg.norm(seen.context, axis=1), 1, atol=1e-5)


def test_one_by_one_or_all_at_once(backbone: Backbone, default_artifact: Artifact) -> None:
    images = golden(default_artifact)
    together = backbone.run(images)
    for place in range(len(images)):
        alone = backbone.run(images[place : place + 1])
        for name in ("logits", "features", "context"):
            assert np.allclose(getattr(alone, name), getattr(together, name)[place : place + 1], atol=1e-4)


def test_same_picture_gives_the_same_bytes(backbone: Backbone, default_artifact: Artifact) -> None:
    image = golden(default_artifact)[:1]
    first = backbone.run(image)
    for _ in range(5):
        again = backbone.run(image)
        assert again.logits.tobytes() == first.logits.tobytes()
        assert again.context.tobytes() == first.context.tobytes()


def test_threads_share_it(backbone: Backbone, default_artifact: Artifact) -> None:
    images, found = golden(default_artifact), dict[int, Seen]()

    def look(place: int) -> None:
        for _ in range(10):
            found[place] = backbone.run(images[place : place + 1])

    threads = [threading.Thread(target=look, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for place in range(4):
        assert np.array_equal(found[place].logits, backbone.run(images[place : place + 1]).logits)


def test_provider_that_was_asked_for(backbone: Backbone) -> None:
    assert (backbone.provider, backbone.reason) == (CPU, "asked for")


def test_auto_says_which_one_and_why(default_artifact: Artifact) -> None:
    found = Backbone.open(default_artifact, "auto", 0)
    assert found.provider in (CPU, CUDA)
    assert "CUDA" in found.reason


def test_cuda_that_cannot_be_had_is_an_error(default_artifact: Artifact) -> None:
    try:
        found = Backbone.open(default_artifact, CUDA, 0)
    except RuntimeUnavailable as error:
        assert error.exit_code == 69
        assert "CUDAExecutionProvider cannot be used: " in error.message
        assert "--provider auto" in error.hint
        assert "\n" not in str(error)
    else:
        assert found.provider == CUDA, "never the CPU without a word"


@pytest.mark.parametrize("provider", ["cuda", "", "TensorrtExecutionProvider", "AUTO"])
def test_unknown_provider_lists_what_there_is(provider: str, default_artifact: Artifact) -> None:
    with pytest.raises(RuntimeUnavailable, match="is not supported") as caught:
        Backbone.open(default_artifact, provider, 0)
    assert all(name in caught.value.hint for name in runtime.PROVIDERS)


@pytest.mark.parametrize("shape", [(1, 3, 64), (1, 4, 64, 64), (1, 3, 64, 64, 1)])
def test_images_of_another_shape_are_our_error(shape: tuple[int, ...], backbone: Backbone) -> None:
    with pytest.raises(RuntimeUnavailable, match="ONNX Runtime failed on") as caught:
        backbone.run(np.zeros(shape, np.float32))
    assert "\n" not in str(caught.value)


def test_network_that_the_runtime_refuses(default_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Artifact, "read", lambda *_: b"nonsense")
    for provider in (CPU, "auto"):
        with pytest.raises(ArtifactError, match=r"ONNX Runtime refuses backbone\.onnx"):
            Backbone.open(default_artifact, provider, 0)


def test_network_is_read_through_the_artifact(default_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    real = Artifact.read
    monkeypatch.setattr(Artifact, "read", lambda self, name: read.append(name) or real(self, name))  # type: ignore[func-returns-value]
    Backbone.open(default_artifact, CPU, 1)
    assert read == ["backbone.onnx"], "verified bytes, not a path"
