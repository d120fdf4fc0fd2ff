"""The JSON schema of a frozen dataclass as `asdict` shows it, so that the document cannot say something else than the code."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]
_PLAIN: Mapping[object, Schema] = {
    str: {"type": "string"}, int: {"type": "integer"}, float: {"type": "number"}, bool: {"type": "boolean"}, type(None): {"type": "null"},
}  # fmt: skip


def schema_of(kind: Any) -> Schema:
    """The schema of a type.

    Args:
        kind: a dataclass, str, int, float, bool, None, a union or a tuple of these.

    Returns:
        Its schema in the 2020-12 draft; an object has all of its fields and no others.

    Raises:
        TypeError: a type that no answer has.
    """
    if kind in _PLAIN:
        return dict(_PLAIN[kind])
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return object_of({field.name: schema_of(hints[field.name]) for field in dataclasses.fields(kind)})
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return {"anyOf": [schema_of(one) for one in inner]}
    if origin is tuple and inner[-1:] == (Ellipsis,):
        return list_of(schema_of(inner[0]))
    if origin is tuple:
        kinds = [schema_of(one) for one in dict.fromkeys(inner)]
        return {**list_of(kinds[0] if len(kinds) == 1 else {"anyOf": kinds}), "minItems": len(inner), "maxItems": len(inner)}
    raise TypeError(f"no schema for {kind}")


def object_of(properties: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """An object with all of some properties, perhaps some others, and nothing else."""
    both = {**properties, **(optional or {})}
    return {"type": "object", "properties": both, "required": list(properties), "additionalProperties": False}


def list_of(item: Schema) -> Schema:
    """A list of such items."""
    return {"type": "array", "items": item}
