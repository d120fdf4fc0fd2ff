from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from gated import gated, images, ran, tapped_model
from onnx import TensorProto, numpy_helper

from edge_agent.errors import InputError
from export import clean, int8, quantisable

ROOT = Path(__file__).parents[2]


def silent(stage: str, done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def prepared() -> onnx.ModelProto:
    return quantisable.prepared(tapped_model(gated()))


@pytest.fixture(scope="module")
def quantised(prepared: onnx.ModelProto) -> onnx.ModelProto:
    pictures = images(64)
    return int8.to_int8(prepared, [pictures[:32], pictures[32:]], 64, silent)


def test_standard_operators_of_an_old_enough_version(quantised: onnx.ModelProto) -> None:
    assert clean.fault(quantised) is None and quantised.ir_version <= 10
    assert [(entry.domain, entry.version) for entry in quantised.opset_import] == [("", 20)]
    assert all(node.domain in ("", "ai.onnx") for node in quantised.graph.node)


def test_weights_are_signed_bytes_of_seven_bits_with_a_scale_per_channel(quantised: onnx.ModelProto) -> None:
    tensors = {tensor.name: tensor for tensor in quantised.graph.initializer}
    makers = {node.output[0]: node for node in quantised.graph.node}
    kernels = []
    for node in quantised.graph.node:
        maker = makers.get(node.input[1]) if node.op_type == "Conv" else None
        if maker is not None and maker.op_type == "DequantizeLinear":
            kernels.append((tensors[maker.input[0]], tensors[maker.input[1]]))
    assert len(kernels) == 5
    for kernel, scale in kernels:
        numbers = numpy_helper.to_array(kernel)
        assert kernel.data_type == TensorProto.INT8 and np.abs(numbers.astype(int)).max() <= 64
        assert numpy_helper.to_array(scale).shape == (numbers.shape[0],)


def test_the_outputs_stay_near(prepared: onnx.ModelProto, quantised: onnx.ModelProto) -> None:
    for expected, found in zip(ran(prepared, images(32, 7)), ran(quantised, images(32, 7)), strict=True):
        assert found.dtype == np.float32
        assert np.sqrt(((found - expected) ** 2).mean()) < 0.15 * expected.std()


def test_a_batch_gives_what_single_pictures_give(quantised: onnx.ModelProto) -> None:
    pictures = images(6, 9)
    together = ran(quantised, pictures)
    for place in range(6):
        for one, all_of_them in zip(ran(quantised, pictures[place : place + 1]), together, strict=True):
            assert np.abs(one[0] - all_of_them[place]).max() < 1e-5


def test_the_same_bytes_whatever_the_order_of_sets(prepared: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(prepared, tmp_path / "prepared.onnx")
    np.save(tmp_path / "images.npy", images(32))
    code = (
        "import sys, numpy, onnx, hashlib; from export import int8; from pathlib import Path; f = Path(sys.argv[1])\n"
        "x = numpy.load(f / 'images.npy'); m = int8.to_int8(onnx.load(f / 'prepared.onnx'), [x[:16], x[16:]], 32, lambda *a: None)\n"
        "print(hashlib.sha256(m.SerializeToString(deterministic=True)).hexdigest())"
    )
    found = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        found.add(done.stdout.strip())
    assert len(found) == 1 and len(found.pop()) == len(hashlib.sha256().hexdigest())


def test_progress_is_told_and_ends_at_the_end(prepared: onnx.ModelProto) -> None:
    seen: list[tuple[str, int, int]] = []
    int8.to_int8(prepared, (images(8, seed) for seed in range(3)), 24, lambda *call: seen.append(call))
    assert seen == [(int8.STAGE, 8, 24), (int8.STAGE, 16, 24), (int8.STAGE, 24, 24)]


def test_what_the_quantiser_raises_becomes_one_line(prepared: onnx.ModelProto) -> None:
    wrong = np.zeros((2, 1, 3, 3), np.float32)
    with pytest.raises(InputError, match=r"cannot be quantised to int8: .*hint: build it without --quantize int8"):
        int8.to_int8(prepared, [wrong], 2, silent)
