"""The corrected network as one plain ONNX file: backbone, kernel and head in standard operators, `image` → `logits`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_agent.artifact import Artifact
from edge_agent.atomic_file import write_atomically
from edge_agent.chained import FIRST, SECOND
from edge_agent.errors import InputError, RuntimeUnavailable
from edge_agent.head import Head
from edge_agent.image import ImageLimits, open_picture, to_tensor
from edge_agent.onnx_wire import (
    GRAPH_NODE,
    GRAPH_OUTPUT,
    MODEL_GRAPH,
    bytes_field,
    fields,
    node,
    output,
    renamed,
    tensor,
)
from edge_agent.ort import import_onnxruntime
from edge_agent.providers import CPU
from edge_agent.runtime import Backbone

TOLERANCE = 1e-4


def write_corrected_onnx(artifact: Artifact, backbone: Backbone, head: Head, path: Path, limits: ImageLimits) -> float:
    """Write the file, load it again and compare it with the agent on the golden samples.

    Args:
        artifact: opened.
        backbone: of the agent.
        head: in use.
        path: the file; it appears only when it has passed.
        limits: for the golden pictures.

    Returns:
        The greatest difference of a logit.

    Raises:
        InputError: the file cannot be written, or one file cannot hold the network.
        RuntimeUnavailable: ONNX Runtime refuses the file, or it does not answer as the agent does.
    """
    if SECOND in artifact.manifest.files:
        found = "the network lies in two files, since one ONNX file holds 2 GiB at most: the corrected network cannot be one file"
        raise InputError(found, "build the artifact from a smaller network")
    model = corrected_model(artifact.read(FIRST), head)
    pictures = [artifact.read(f"golden/{place:02}.png") for place in range(artifact.manifest.golden.count)]
    images = np.stack([to_tensor(open_picture(picture, limits, "a golden sample"), artifact.manifest.image) for picture in pictures])
    try:
        session = import_onnxruntime().InferenceSession(model, providers=[CPU])
        found = session.run(["logits"], {"image": images})[0]
    except Exception as error:  # the runtime's exceptions have no common class
        raise RuntimeUnavailable(f"ONNX Runtime refuses the corrected network: {error}", "report this: nothing was written") from None
    difference = float(np.abs(found - head.logits(backbone.run(images))).max())
    if not difference <= TOLERANCE:
        found = f"its logits differ by {difference:.2g}, allowed are {TOLERANCE:g}"
        raise RuntimeUnavailable(f"the corrected network does not answer as the agent: {found}", "report this: nothing was written")
    write_atomically(path, model)
    return difference


def corrected_model(network: bytes, head: Head) -> bytes:
    """The backbone's file with the head appended: its own logits are renamed, its three outputs become one.

    Args:
        network: `backbone.onnx`.
        head: its remembered rows become initializers, which another program may replace.

    Returns:
        An ONNX file with the input `image` `[N, 3, H, W]` and the output `logits` `[N, C+P]`.
    """
    names = {b"logits": b"factory_logits"}
    parts = []
    for number, encoded, payload in fields(network):
        if number == MODEL_GRAPH and payload is not None:
            graph = [
                bytes_field(GRAPH_NODE, renamed(inner, names)) if field == GRAPH_NODE and inner is not None else whole
                for field, whole, inner in fields(payload)
                if field != GRAPH_OUTPUT
            ]
            encoded = bytes_field(MODEL_GRAPH, b"".join([*graph, *_head_fields(head)]))
        parts.append(encoded)
    return b"".join(parts)


def _head_fields(head: Head) -> list[bytes]:
    """The nodes and tensors of `Head.logits`, under names that begin with `head/`."""
    parts, base = [], "factory_logits"
    if len(head.added):
        parts += [
            tensor("head/added_weight", head.added.weight.T), tensor("head/added_local", head.added.local.T),
            tensor("head/added_bias", head.added.bias),
            node("MatMul", ["features", "head/added_weight"], "head/added_1"),
            node("MatMul", ["context", "head/added_local"], "head/added_2"),
            node("Add", ["head/added_1", "head/added_2"], "head/added_3"),
            node("Add", ["head/added_3", "head/added_bias"], "head/added_logits"),
            node("Concat", ["factory_logits", "head/added_logits"], "head/base_logits", axis=1),
        ]  # fmt: skip
        base = "head/base_logits"
    if len(head.contexts):
        parts += [
            tensor("head/contexts", head.contexts.T), tensor("head/coefficients", head.coefficients),
            tensor("head/exponent", np.array(head.exponent, np.float32)),
            node("MatMul", ["context", "head/contexts"], "head/cosine"),
            node("Relu", ["head/cosine"], "head/near"),
            node("Pow", ["head/near", "head/exponent"], "head/kernel"),
            node("MatMul", ["head/kernel", "head/coefficients"], "head/change"),
            node("Add", [base, "head/change"], "logits"),
        ]  # fmt: skip
    else:
        parts.append(node("Identity", [base], "logits"))
    return [*parts, output("logits", "N", head.coefficients.shape[1])]
