"""Hostile artifacts whose harm is in what a runtime would be given: graphs, parameters, checkpoints, pictures, golden outputs.

Each is sealed: sizes and digests fit, as they would if somebody had built it so. The package `onnx` plays the attacker.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from hostile_case import Case, with_file
from hostile_files import PICKLE, with_arrays
from onnx import TensorProto, helper, numpy_helper

BACKBONE, STEP = "backbone.onnx", "portable/step.onnx"
Model = Any  # onnx.ModelProto, which has no types


def with_graph(name: str, change: Callable[[Model], object]) -> Callable[[Path], None]:
    def content(old: bytes) -> bytes:
        model = onnx.load_from_string(old)
        change(model)
        data: bytes = model.SerializeToString()
        return data

    return with_file(name, content)


def outside(tensor: Any, location: str = "../secret.txt") -> None:
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    tensor.ClearField("raw_data")


def external_attribute(model: Model) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.ones(4, np.float32))))
    outside(model.graph.node[-1].attribute[0].t)


def sparse(model: Model) -> None:
    values, indices = model.graph.sparse_initializer.add().values, model.graph.sparse_initializer[-1].indices
    values.CopyFrom(helper.make_tensor("s", TensorProto.FLOAT, [1], [1.0]))
    indices.CopyFrom(helper.make_tensor("i", TensorProto.INT64, [1], [0]))
    outside(values)


def a_body() -> Any:
    external = numpy_helper.from_array(np.ones(4, np.float32), "w")
    outside(external)
    value = helper.make_tensor_value_info("w", TensorProto.FLOAT, [4])
    return helper.make_graph([], "body", [], [value], initializer=[external])


def looped(name: str) -> Callable[[Path], None]:
    def change(model: Model) -> None:
        info = helper.make_tensor_value_info
        body = helper.make_graph(
            [helper.make_node("Identity", ["go"], ["go_on"])], "body",
            [info("turn", TensorProto.INT64, []), info("go", TensorProto.BOOL, [])], [info("go_on", TensorProto.BOOL, [])],
        )  # fmt: skip
        most, go = numpy_helper.from_array(np.array(2**40), "most"), numpy_helper.from_array(np.array(True), "yes")
        model.graph.initializer.extend([most, go])
        model.graph.node.append(helper.make_node("Loop", ["most", "yes"], [], body=body))

    return with_graph(name, change)


def branched(model: Model) -> None:
    model.graph.node.append(helper.make_node("If", ["yes"], ["w2"], then_branch=a_body(), else_branch=a_body()))


def with_function(model: Model) -> None:
    node = helper.make_node("Add", ["a", "a"], ["b"])
    model.functions.append(helper.make_function("ours", "Twice", ["a"], ["b"], [node], [helper.make_opsetid("", 20)]))


def foreign(model: Model) -> None:
    model.opset_import.add(domain="com.example", version=1)
    model.graph.node.append(helper.make_node("Run", ["image"], ["x"], domain="com.example"))


def operator(name: str, kind: str) -> Callable[[Path], None]:
    return with_graph(name, lambda model: setattr(model.graph.node[0], "op_type", kind))


def first_tensor(change: Callable[[Any], object]) -> Callable[[Path], None]:
    return with_graph(BACKBONE, lambda model: change(next(t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT)))


def with_bits(value: float) -> Callable[[Any], None]:
    def change(tensor: Any) -> None:
        numbers = np.frombuffer(tensor.raw_data, "<f4").copy()
        numbers[0] = value
        tensor.raw_data = numbers.tobytes()

    return change


def of_100_gigabytes(tensor: Any) -> None:
    del tensor.dims[:]
    tensor.dims.extend([25_000, 1_000_000])


def behind(output: str, *nodes: Any, tensors: dict[str, Any] | None = None) -> Callable[[Path], None]:
    """Further nodes between what the network gave (`inner`) and one of its outputs."""

    def change(model: Model) -> None:
        for node in model.graph.node:
            for names in (node.input, node.output):
                for place, name in enumerate(names):
                    if name == output:
                        names[place] = "inner"
        model.graph.initializer.extend(numpy_helper.from_array(np.asarray(array), name) for name, array in (tensors or {}).items())
        model.graph.node.extend(nodes)
        del next(value for value in model.graph.output if value.name == output).type.tensor_type.shape.dim[:]
        next(value for value in model.graph.output if value.name == output).type.tensor_type.ClearField("shape")

    return with_graph(BACKBONE, change)


def allocated(side: int, products: int) -> Callable[[Path], None]:
    """A square matrix made at run time from the picture, multiplied with itself, and added to the logits times zero."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["attack_mean"], keepdims=0),
        helper.make_node("Expand", ["attack_mean", "side"], ["m0"]),
        *(helper.make_node("MatMul", [f"m{turn}", f"m{turn}"], [f"m{turn + 1}"]) for turn in range(products)),
        helper.make_node("ReduceMean", [f"m{products}"], ["all"], keepdims=0),
        helper.make_node("Mul", ["all", "zero"], ["nothing"]),
        helper.make_node("Add", ["inner", "nothing"], ["logits"]),
    ]
    return behind("logits", *nodes, tensors={"side": np.array([side, side], np.int64), "zero": np.float32(0)})


def halved_rate(model: Model) -> None:
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name == "learning_rate":
                node.input[place] = "half_rate"
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.5), "half"))
    model.graph.node.insert(0, helper.make_node("Mul", ["learning_rate", "half"], ["half_rate"]))


def renamed_output(model: Model) -> None:
    model.graph.node.append(helper.make_node("Identity", [model.graph.output[0].name], ["other"]))
    model.graph.output[0].name = "other"


def a_bomb(old: bytes) -> bytes:
    size = (60_000).to_bytes(4, "big")
    header = b"IHDR" + size + size + old[24:29]
    return old[:12] + header + zlib.crc32(header).to_bytes(4, "big") + old[33:]


OPERATOR, OUT = "which no artifact may use", "data outside of the file"
CASES = (
    Case("network-pickle", "The network is a pickle under another name.", "backbone.onnx: ", with_file(BACKBONE, PICKLE)),
    Case("network-empty", "The network has 0 bytes.", "0 graphs", with_file(BACKBONE, b"")),
    Case("network-cut", "The network ends early, and is sealed so.", "middle of a field", with_file(BACKBONE, lambda old: old[:-9])),
    Case("network-twice", "Two graphs, which a runtime would join.", "2 graphs", with_file(BACKBONE, lambda old: old * 2)),
    Case("external-initializer", "A parameter's numbers are in another file.", OUT, first_tensor(outside)),
    Case("external-absolute", "A parameter's numbers are in an absolute file.", OUT, first_tensor(lambda t: outside(t, "/etc/passwd"))),
    Case("external-attribute", "A constant's numbers are in another file.", OUT, with_graph(BACKBONE, external_attribute)),
    Case("external-sparse", "A sparse parameter's numbers are in another file.", "a sparse tensor", with_graph(BACKBONE, sparse)),
    Case("external-subgraph", "The numbers of a parameter of a graph inside the graph are in another file.", "a graph inside a graph",
         with_graph(BACKBONE, branched)),
    Case("external-step", "The same in the step of the head.", OUT, with_graph(STEP, external_attribute)),
    Case("external-training", "The same in the training graph.", OUT, with_graph("training/training_model.onnx", external_attribute)),
    Case("loop-2-40", "A loop of 2^40 turns.", "a graph inside a graph", looped(BACKBONE)),
    Case("loop-in-training", "A loop of 2^40 turns in the training graph.", "a graph inside a graph",
         looped("training/training_model.onnx")),
    Case("loop-without-a-body", "An operator that needs a graph inside.", f"'Loop', {OPERATOR}", operator(BACKBONE, "Loop")),
    Case("scan", "Another one.", f"'Scan', {OPERATOR}", operator(BACKBONE, "Scan")),
    Case("function", "A function of its own, which could be named like an operator.", "a function of its own",
         with_graph(BACKBONE, with_function)),
    Case("domain-foreign", "An operator of somebody's own domain.", "the operator 'com.example.Run'", with_graph(BACKBONE, foreign)),
    Case("domain-training", "A training operator where none belongs.", f"'com.microsoft.SGDOptimizerV2', {OPERATOR}",
         with_file(STEP, lambda _: (Path(__file__).parents[2] / "artifacts/default/training/optimizer_model.onnx").read_bytes())),
    Case("operator-unknown", "An operator that does not exist.", f"'Backdoor', {OPERATOR}", operator(BACKBONE, "Backdoor")),
    Case("operator-random", "An answer that differs each time.", f"'RandomNormalLike', {OPERATOR}", operator(BACKBONE, "RandomNormalLike")),
    Case("operator-reads-files", "An operator that decodes files.", f"'ImageDecoder', {OPERATOR}", operator(BACKBONE, "ImageDecoder")),
    Case("operator-text", "An operator on text.", f"'StringConcat', {OPERATOR}", operator(STEP, "StringConcat")),
    Case("operator-not-training", "An operator of ONNX Runtime's that is no training operator.", "FusedGemm",
         operator("training/optimizer_model.onnx", "FusedGemm")),
    Case("opset-21", "An opset of the future.", "opset 21",
         with_graph(BACKBONE, lambda model: setattr(model.opset_import[0], "version", 21))),
    Case("ir-14", "An IR version that crashes nobody yet.", "IR version 14",
         with_graph(BACKBONE, lambda model: setattr(model, "ir_version", 14))),
    Case("parameter-nan", "A parameter is NaN.", "holds NaN or Inf", first_tensor(with_bits(np.nan))),
    Case("parameter-infinite", "A parameter is infinite.", "holds NaN or Inf", first_tensor(with_bits(-np.inf))),
    Case("parameter-100-gb", "A parameter claims a hundred gigabytes.", "claims 25000000000 numbers", first_tensor(of_100_gigabytes)),
    Case("parameter-negative", "A parameter with a negative size.", "a shape that no tensor has",
         first_tensor(lambda t: t.dims.__setitem__(0, -1))),
    Case("parameter-type", "A parameter of complex numbers.", "the type number 14", first_tensor(lambda t: setattr(t, "data_type", 14))),
    Case("parameter-text", "A parameter that is text.", "a tensor of text", first_tensor(lambda t: t.string_data.append(b"x"))),
    Case("memory-100-gb", "A hundred gigabytes that are asked for at run time.", "memory|allocate", allocated(160_000, 0)),
    Case("time-without-end", "Minutes of arithmetic that are asked for at run time.", "took longer than|of the processor",
         allocated(5_000, 400)),
    Case("output-logits", "One logit too few (C).", "gives logits as float32 (1, 9)",
         behind("logits", helper.make_node("Slice", ["inner", "a", "b", "c"], ["logits"]),
                tensors={"a": np.array([0]), "b": np.array([9]), "c": np.array([1])})),
    Case("output-features", "One feature too many (D).", "gives features as float32 (1, 1025)",
         behind("features", helper.make_node("Pad", ["inner", "p"], ["features"]), tensors={"p": np.array([0, 0, 0, 1])})),
    Case("output-context", "A context of another length than 1.", "a context of length 2",
         behind("context", helper.make_node("Mul", ["inner", "two"], ["context"]), tensors={"two": np.float32(2)})),
    Case("output-nan", "Logits that are NaN although every parameter is finite.", "logits with NaN or Inf",
         behind("logits", helper.make_node("Log", ["below"], ["nan"]), helper.make_node("Add", ["inner", "nan"], ["logits"]),
                tensors={"below": np.float32(-1)})),
    Case("output-renamed", "An output has another name.", "expected image and logits", with_graph(BACKBONE, renamed_output)),
    Case("output-other", "A sound network that answers otherwise than its golden samples.", "the golden samples' logits differ by",
         behind("logits", helper.make_node("Add", ["inner", "one"], ["logits"]), tensors={"one": np.eye(1, 10, dtype=np.float32)})),
    Case("golden-outputs", "Golden outputs that do not match.", "the golden samples' logits differ by 1",
         with_arrays(lambda arrays: arrays.update(golden_logits=arrays["golden_logits"] + np.float32(1)))),
    Case("golden-bomb", "A golden sample of 3.6 gigapixels.", "golden/00.png has", with_file("golden/00.png", a_bomb)),
    Case("golden-pickle", "A golden sample that is a pickle.", "golden/00.png cannot be read", with_file("golden/00.png", PICKLE)),
    Case("step-other", "The step's graph is another one.", "portable/step.onnx|a step|the training graphs cannot",
         with_file(STEP, lambda _: (Path(__file__).parents[2] / "artifacts/default/training/eval_model.onnx").read_bytes())),
    Case("step-half", "A step that is half as long as it says.", "differs from the formula", with_graph(STEP, halved_rate)),
    Case("checkpoint-pickle", "The checkpoint is a pickle.", "refuses the training files", with_file("training/checkpoint", PICKLE * 10)),
    Case("checkpoint-noise", "The checkpoint is noise.", "training files|child process",
         with_file("training/checkpoint", lambda old: np.random.default_rng(0).bytes(len(old)))),
    Case("checkpoint-cut", "The checkpoint ends early, and is sealed so.", "training files|child process",
         with_file("training/checkpoint", lambda old: old[: len(old) // 2])),
)  # fmt: skip
