"""The manifest: what `manifest.json` may say, checked key by key; `artifacts/README.md` is the text that this module holds true."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_agent.errors import ArtifactError

FORMAT = "onnx-edge-agent"
SCHEMA = 1
MANIFEST_LIMIT_BYTES = 64 * 1024
FILE_LIMIT_BYTES = 2 * 1024**3
NAME_PATTERN = re.compile(r"README\.md|([a-z0-9_-][a-z0-9._-]{0,63}/)?[a-z0-9_-][a-z0-9._-]{0,63}")
DIGEST_PATTERN = re.compile(r"[0-9a-f]{64}")
OPTIONAL_KEYS = ("quantization",)  # absent where there is nothing to say
QUANTIZATIONS = ("int8", "float16")
REQUIRED_FILES = (
    "labels.txt",
    "backbone.onnx",
    "statistics.safetensors",
    "golden/00.png",
    "training/training_model.onnx",
    "training/eval_model.onnx",
    "training/optimizer_model.onnx",
    "training/checkpoint",
    "portable/step.onnx",
)


@dataclass(frozen=True)
class ModelFacts:
    """What the network is: its name, parameter count, the digest of its weights and its last layer ("linear" or "other")."""

    name: str
    parameters: int
    weights_sha256: str
    last_layer: str
    last_layer_kind: str


@dataclass(frozen=True)
class ImageSpec:
    """How a picture becomes the network's input: shorter side to `resize_px`, centre crop `(H, W)`, then (v/255 − mean)/std."""

    crop_px: tuple[int, int]
    resize_px: int
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        """Refuse sizes and numbers that no picture can have."""
        require(self.interpolation in ("nearest", "bilinear", "bicubic"), f"image.interpolation is {self.interpolation!r}")
        require(all(1 <= n <= 8192 for n in (*self.crop_px, self.resize_px)), "image: a size is outside 1…8192 px")
        require(all(s > 0 for s in self.std), "image.std has a number that is not positive")


@dataclass(frozen=True)
class NewClass:
    """What a class added on the device starts from (calibrated units): see `artifacts/README.md`."""

    scale: float
    spread: float
    within: float
    own_logit: float
    own_deviation: float
    bias: float


@dataclass(frozen=True)
class SentinelFacts:
    """The sentinel set: how many pictures, the factory head's accuracy on them (0…1), whether they were held out."""

    size: int
    accuracy: float
    held_out: bool


@dataclass(frozen=True)
class StatisticsFacts:
    """What the statistics rest on: pictures used, pictures that could not be read, and sentences on what is uncertain."""

    pictures: int
    unreadable: int
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class GoldenFacts:
    """The golden samples: how many, and the greatest accepted difference of a logit on another machine."""

    count: int
    tolerance: float


@dataclass(frozen=True)
class ParityFacts:
    """The greatest difference found between PyTorch and the written files, over `pictures` pictures."""

    logits: float
    context: float
    gradient: float
    pictures: int


@dataclass(frozen=True)
class Producer:
    """The versions that wrote the artifact."""

    edge_agent: str
    torch: str
    torchvision: str
    onnx: str
    onnxruntime: str


@dataclass(frozen=True)
class Quantization:
    """How `backbone.onnx` was made smaller ("int8" or "float16"), and its accuracy (0…1) beside the float network's on `pictures`."""

    kind: str
    accuracy: float
    float_accuracy: float
    pictures: int

    def __post_init__(self) -> None:
        """Refuse a kind that this version does not know."""
        require(self.kind in QUANTIZATIONS, f"quantization.kind is {self.kind[:40]!r}, expected {' or '.join(QUANTIZATIONS)}")


@dataclass(frozen=True)
class FileEntry:
    """Size and SHA-256 (hex) of one file."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The content of `manifest.json`; `from_bytes(m.to_bytes()) == m` for every manifest."""

    model: ModelFacts
    image: ImageSpec
    classes: int
    spare_classes: int
    features: int
    directions: int
    capacity: int
    temperature: float
    taps: tuple[str, ...]
    new_class: NewClass | None
    sentinel: SentinelFacts
    statistics: StatisticsFacts
    golden: GoldenFacts
    parity: ParityFacts
    producer: Producer
    files: Mapping[str, FileEntry]
    quantization: Quantization | None = None

    def __post_init__(self) -> None:
        """Refuse numbers and names that the format does not allow."""
        for name in ("classes", "features", "directions", "capacity"):
            require(1 <= getattr(self, name) <= 1_000_000, f"{name} is {getattr(self, name)}, expected 1…1000000")
        require(0 <= self.spare_classes <= 100_000, f"spare_classes is {self.spare_classes}, expected 0…100000")
        require(self.temperature > 0, f"temperature is {self.temperature}, expected a positive number")
        require(1 <= self.golden.count <= 16, f"golden.count is {self.golden.count}, expected 1…16")
        golden = {f"golden/{i:02}.png" for i in range(self.golden.count)}
        missing = sorted({*REQUIRED_FILES, *golden} - set(self.files))
        require(not missing, f"files lacks {', '.join(missing)}")
        for name, entry in self.files.items():
            require(NAME_PATTERN.fullmatch(name) is not None and name != "manifest.json", f"files has the name {name[:80]!r}")
            require(DIGEST_PATTERN.fullmatch(entry.sha256) is not None, f"files: {name} has no SHA-256 in hex")
            require(0 <= entry.bytes <= FILE_LIMIT_BYTES, f"files: {name} has {entry.bytes} bytes, expected at most 2 GiB")

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Parse and check a manifest.

        Args:
            data: the content of `manifest.json`, at most 64 KiB.

        Returns:
            The manifest, every field of its declared type.

        Raises:
            ArtifactError: not JSON, another format or schema, an unknown, missing or repeated key, a value of the wrong type, or
                changed since it was written: its own SHA-256 does not fit.
        """
        require(len(data) <= MANIFEST_LIMIT_BYTES, f"{len(data)} bytes, expected at most {MANIFEST_LIMIT_BYTES}")
        try:
            content = json.loads(data.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise ArtifactError(f"manifest.json is not JSON: {error}", "build the artifact again with edge-export") from None
        require(isinstance(content, dict) and content.get("format") == FORMAT, f'no "format": "{FORMAT}"')
        schema = content.get("schema")
        if type(schema) is not int or schema != SCHEMA:
            hint = "update edge-agent, or build the artifact with its version of edge-export"
            raise ArtifactError(f"manifest.json has schema {schema!r}, this version reads schema {SCHEMA}", hint)
        digest = content.pop("sha256", None)
        manifest = typing.cast(Manifest, _typed(cls, {k: v for k, v in content.items() if k not in ("format", "schema")}, ""))
        require(digest == hashlib.sha256(_canonical(content)).hexdigest(), "was changed: its own SHA-256 does not fit its content")
        return manifest

    def to_bytes(self) -> bytes:
        """The canonical bytes: sorted keys, two spaces of indentation, a final newline; `sha256` is of the same without that key."""
        facts = {name: value for name, value in dataclasses.asdict(self).items() if value is not None or name not in OPTIONAL_KEYS}
        content = {"format": FORMAT, "schema": SCHEMA, **facts}
        return _canonical({**content, "sha256": hashlib.sha256(_canonical(content)).hexdigest()})


def label_fault(label: str) -> str | None:
    """What is wrong with a label's text, or None: it may not be blank, padded, unprintable or over 128 characters."""
    if not label.strip():
        return "is empty"
    if label != label.strip():
        return "begins or ends with a space"
    if not label.isprintable():
        return "holds a control character"
    return f"has {len(label)} characters, at most 128 are allowed" if len(label) > 128 else None


def require(holds: bool, found: str, where: str = "manifest.json") -> None:
    """Hold a rule of the format.

    Args:
        holds: whether it holds.
        found: what was found, for the message.
        where: the file it was found in.

    Raises:
        ArtifactError: it does not hold.
    """
    if not holds:
        raise ArtifactError(f"{where}: {found}", "the artifact is damaged or foreign: build or copy it again")


def _canonical(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a key is repeated")
    return content


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a number of JSON")


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    """The types of a dataclass's fields; of the same one hundreds of times for one manifest."""
    return typing.get_type_hints(kind)


def _typed(kind: Any, value: Any, where: str) -> Any:
    """Turn parsed JSON into the declared type, or refuse it with the key where they part."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        hints = _hints(typing.cast(type, kind))
        require(isinstance(value, dict), f"{where or 'the manifest'} is not an object")
        expected = set(hints) - ({*OPTIONAL_KEYS} - set(value) if kind is Manifest else set())
        require(set(value) == expected, f"{where or 'the manifest'} has other keys: {sorted(set(value) ^ expected)[:5]}")
        values = {key: _typed(hints[key], value[key], f"{where}.{key}".lstrip(".")) for key in hints if key in value}
        return typing.cast(Any, kind)(**values)
    if origin is types.UnionType:
        return None if value is None else _typed(arguments[0], value, where)
    if origin is tuple:
        require(isinstance(value, list), f"{where} is not a list")
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        require(len(kinds) == len(value), f"{where} has {len(value)} entries, expected {len(kinds)}")
        return tuple(_typed(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(zip(kinds, value, strict=True)))
    if origin is not None:
        require(isinstance(value, dict), f"{where} is not an object")
        return {key: _typed(arguments[1], entry, f"{where}.{key[:80]}") for key, entry in value.items()}
    if kind is float and type(value) is int:
        require(abs(value) < 2**1000, f"{where} is not finite")
        value = float(value)
    require(type(value) is kind, f"{where} is {type(value).__name__}, expected {kind.__name__}")
    require(kind is not float or math.isfinite(value), f"{where} is not finite")
    require(kind is not str or value.isprintable(), f"{where} holds a character that cannot be printed")
    return value
