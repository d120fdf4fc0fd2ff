"""Making an ONNX file fit to travel: nothing of the workstation in it, and nothing that a device cannot read.

Exporters write paths, stack traces and class names into `metadata_props` and `doc_string` of every part (FACTS.md). They leak,
weigh, and differ from machine to machine.
"""

from __future__ import annotations

from pathlib import Path

import onnx

from edge_agent.errors import InputError

IR_VERSION = 10
OPSET = 20
LIMIT_BYTES = 2**31 - 1  # of a protobuf message


def strip(model: onnx.ModelProto) -> onnx.ModelProto:
    """Take away, in place, everything that is not needed to run the model.

    Metadata, documentation, intermediate value types, unused functions and the producer's version go; the IR version is at most 10.

    Args:
        model: any model.

    Returns:
        The same model.
    """
    for field in ("doc_string", "metadata_props", "producer_name", "producer_version", "domain", "model_version"):
        model.ClearField(field)
    model.ir_version = min(model.ir_version, IR_VERSION)
    used = {node.domain for part in (model.graph, *model.functions) for node in part.node}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(sorted(kept, key=lambda entry: entry.domain))
    _strip_graph(model.graph)
    for function in model.functions:
        for field in ("doc_string", "metadata_props", "value_info"):
            function.ClearField(field)
        _strip_nodes(function.node)
    return model


def save(model: onnx.ModelProto, path: Path) -> None:
    """Strip and write a model, the same bytes for the same model.

    Raises:
        InputError: the model is larger than one ONNX file can be.
    """
    size = model.ByteSize()
    if size > LIMIT_BYTES:
        raise InputError(f"{path.name} would have {size} bytes, one ONNX file holds {LIMIT_BYTES}", "take a smaller network")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(strip(model).SerializeToString(deterministic=True))


def fault(model: onnx.ModelProto) -> str | None:
    """What makes a model unfit to travel, or None.

    Args:
        model: any model.

    Returns:
        A phrase that follows the file's name: too new, data outside of the file, or metadata of a workstation.
    """
    if model.ir_version > IR_VERSION:
        return f"has IR version {model.ir_version}, expected at most {IR_VERSION}"
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        return "keeps tensors outside of the file"
    parts = (model, model.graph, *model.graph.node, *model.functions)
    return "carries metadata" if any(len(part.metadata_props) or part.doc_string for part in parts) else None


def _strip_graph(graph: onnx.GraphProto) -> None:
    for field in ("doc_string", "metadata_props", "value_info", "quantization_annotation"):
        graph.ClearField(field)
    graph.name = "graph"
    _strip_nodes(graph.node)
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.ClearField("doc_string")
        value.ClearField("metadata_props")


def _strip_nodes(nodes: object) -> None:
    for node in nodes:  # type: ignore[attr-defined]
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
        for attribute in node.attribute:
            attribute.ClearField("doc_string")
            if attribute.HasField("g"):
                _strip_graph(attribute.g)
            for graph in attribute.graphs:
                _strip_graph(graph)
            if attribute.HasField("t"):
                attribute.t.ClearField("doc_string")
                attribute.t.ClearField("metadata_props")
