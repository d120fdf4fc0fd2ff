"""What the journal keeps as bytes: what was seen of a correction, and heads; each stands beside its SHA-256."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from edge_agent.errors import StateError
from edge_agent.head import AddedClasses, Head
from edge_agent.journal_digests import of_bytes
from edge_agent.remembering import Memory, mean_context
from edge_agent.runtime import Seen


def pack_seen(seen: Seen) -> bytes:
    """What the backbone saw of a correction, its views included."""
    return save({"logits": seen.logits, "features": seen.features, "context": seen.context})


def unpack_seen(number: int, blob: bytes, sha256: str) -> Seen:
    """The reverse of `pack_seen`.

    Raises:
        StateError: the bytes are not those that were written; undoing the correction takes it out of the way.
    """
    if of_bytes(blob) != sha256:
        raise StateError(f"correction {number} is damaged: its digest does not match", f"take it back with: edge-agent undo {number}")
    return unpack(blob)


def unpack(blob: bytes) -> Seen:
    """The reverse of `pack_seen`, for bytes whose digest was compared."""
    arrays = load(blob)
    return Seen(arrays["logits"], arrays["features"], arrays["context"])


def pack_head(head: Head, memories: Sequence[Memory]) -> bytes:
    """A head without its contexts: the corrections behind `memories`, in the order of its rows, have them."""
    arrays: dict[str, NDArray[np.generic]] = {
        "ids": np.asarray([number for memory in memories for number in memory.ids], np.int64),
        "merged": np.asarray([len(memory.ids) for memory in memories], np.int64),
        "rows": np.asarray([len(memory.seen.context) for memory in memories], np.int64),
        "coefficients": head.coefficients, "exponent": np.array([head.exponent]),
        "weight": head.added.weight, "local": head.added.local, "bias": head.added.bias,
    }  # fmt: skip
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def unpack_head(connection: sqlite3.Connection, blob: bytes) -> Head | None:
    """The reverse of `pack_head`; None when a correction that it needs is gone or damaged."""
    arrays = load(blob)
    seen, contexts = [], []
    for number in arrays["ids"].tolist():
        row = connection.execute("SELECT seen, seen_sha256 FROM corrections WHERE id=?", (number,)).fetchone()
        if row is None or of_bytes(row[0]) != row[1]:
            return None
        seen.append(load(row[0])["context"])
    for end, merged, rows in zip(np.cumsum(arrays["merged"]), arrays["merged"], arrays["rows"], strict=True):
        contexts.append(mean_context(seen[end - merged : end]) if merged > 1 else seen[end - 1][:rows])
    added = AddedClasses(arrays["weight"], arrays["local"], arrays["bias"])
    stacked = np.concatenate(contexts) if contexts else np.zeros((0, added.local.shape[1]), np.float32)
    return Head(stacked, arrays["coefficients"], float(arrays["exponent"][0]), added)
