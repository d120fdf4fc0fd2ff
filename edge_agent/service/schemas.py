"""What goes in and what comes out, by name: the schemas that the OpenAPI document shows."""

from __future__ import annotations

from edge_agent.recorded import Recorded
from edge_agent.results import AgentInfo, Correction, Ranked, Undo
from edge_agent.service import correcting, waiting
from edge_agent.service.accuracy import Share
from edge_agent.service.fields import TEXT_CHARACTERS
from edge_agent.service.predicting import MOST_LABELS
from edge_agent.service.problems import CODES
from edge_agent.service.schema_of import Schema, list_of, object_of, schema_of

_TEXT: Schema = {"type": "string"}
_LABEL: Schema = {"type": "string", "minLength": 1, "maxLength": 128}
_WHOLE: Schema = {"type": "integer", "minimum": 0}
_SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_OR_NOTHING = [{"type": "null"}]


def answers() -> dict[str, Schema]:
    """The answers, by the names that the route table gives them."""
    correction = schema_of(Correction)
    correction = object_of({"sample_id": _TEXT, **correction["properties"]})
    prediction = {"image": {"anyOf": [_TEXT, *_OR_NOTHING]}, "label": _TEXT, "probability": _SHARE, "sample_id": _TEXT}
    prediction |= {"generation": _WHOLE, "elapsed_ms": {"type": "number"}, "top": list_of(schema_of(Ranked))}
    offer = object_of({"kept": {"type": "boolean"}, "reason": _TEXT, "score": {"anyOf": [_SHARE, *_OR_NOTHING]}})
    after = {"anyOf": [_WHOLE, *_OR_NOTHING], "description": "give it as `before` for the next page; null at the end"}
    return {
        "prediction": object_of(prediction, {"queue": offer}),
        "correction": correction,
        "history": object_of({"corrections": list_of(schema_of(Recorded)), "count": _WHOLE, "before": after}),
        "undo": schema_of(Undo),
        "labels": object_of({"labels": list_of(_TEXT), "added": list_of(_TEXT), "spare_classes": _WHOLE}),
        "label": object_of({"label": _TEXT, "spare_classes": _WHOLE}),
        "queue": object_of({"waiting": list_of(_waiting()), "count": _WHOLE}),
        "cleared": object_of({"cleared": _WHOLE}),
        "set_aside": object_of({"sample_id": _TEXT, "answer": {"enum": ["skipped", "unsure"]}}),
        "accuracy": _accuracy(),
        "info": schema_of(AgentInfo),
        "health": _health(),
        "ready": object_of({"status": {"const": "ready"}}),
        "document": {"type": "object"},
    }


def error() -> Schema:
    """The one shape of every error."""
    return object_of({"error": object_of({"code": {"enum": list(CODES)}, "message": _TEXT, "hint": _TEXT})})


def bodies() -> dict[str, Schema]:
    """The JSON bodies, by the names that the route table gives them."""
    said = {"label": _LABEL}
    insisted: dict[str, Schema] = {name: {"type": "boolean", "default": False} for name in ("new_label", "force", "dry_run")}
    insisted["views"] = {"type": "integer", "minimum": 0, "maximum": 8, "description": "re-shots to remember; default: the settings'"}
    return {
        "lesson": object_of({"sample_id": {"type": "string", "maxLength": TEXT_CHARACTERS}, **said}, insisted),
        "new_label": object_of({"name": _LABEL}),
        "answer": object_of(said, {"new_label": insisted["new_label"]}),
        "nothing": object_of({}),
    }


def lesson_form() -> Schema:
    """A correction as a form with the picture itself; a form's fields are text."""
    insisted: dict[str, Schema] = {name: {"type": "boolean"} for name in ("new_label", "force", "dry_run")}
    picture: Schema = {"type": "string", "contentMediaType": "application/octet-stream", "format": "binary"}
    return object_of({"picture": picture, "label": _LABEL}, {**insisted, "views": {"type": "integer", "minimum": 0, "maximum": 8}})


def parameters() -> dict[str, Schema]:
    """Fields of queries and parts of paths, by the names that the route table gives them."""
    return {
        "top": {"type": "integer", "minimum": 1, "maximum": MOST_LABELS, "default": 5},
        "collect": {"type": "boolean", "description": "let it wait for a person where that is worth it; default: the settings'"},
        "name": {"type": "string", "maxLength": TEXT_CHARACTERS, "description": "what to call the picture"},
        "limit": {"type": "integer", "minimum": 1, "maximum": correcting.MOST, "default": correcting.PAGE},
        "before": {"type": "integer", "minimum": 1, "maximum": correcting.LAST_NUMBER, "description": "only corrections with a lower id"},
        "queue_limit": {"type": "integer", "minimum": 1, "maximum": waiting.MOST, "default": waiting.PAGE},
    }


def _waiting() -> Schema:
    facts = {"id": _TEXT, "label": _TEXT, "probability": _SHARE, "top": list_of(schema_of(Ranked)), "reason": _TEXT, "score": _SHARE}
    return object_of({**facts, "image": {"anyOf": [_TEXT, *_OR_NOTHING]}, "added_at": _TEXT, "picture_bytes": _WHOLE})


def _accuracy() -> Schema:
    point = {"id": _WHOLE, "at": _TEXT, "generation": _WHOLE, "verdict": _TEXT, "label": _TEXT, "accuracy": _SHARE, "standing": _TEXT}
    sentinel = object_of({"factory": _SHARE, "now": _SHARE, "size": _WHOLE, "series": list_of(object_of(point))})
    share = schema_of(Share)
    field = object_of({"now": share, "window": _WHOLE, "basis": _TEXT, "series": list_of(share)})
    return object_of({"sentinel": sentinel, "field": field})


def _health() -> Schema:
    states: Schema = {"enum": ["OK", "WARNING", "CRITICAL", "UNKNOWN"]}
    check = {"type": "object", "properties": {"name": _TEXT, "status": states, "detail": _TEXT}, "required": ["name", "status", "detail"]}
    facts: Schema = {"type": "object", "additionalProperties": _TEXT}
    return object_of({"status": states, "checks": list_of(check), "facts": facts, "elapsed_ms": {"type": "number"}})
