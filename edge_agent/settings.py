"""Every limit and default of the device program, with its unit: defaults < settings file < environment < flag."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.errors import UsageError
from edge_agent.settings_file import TABLES, as_type_of, read_settings_file

if TYPE_CHECKING:
    from edge_agent.image import ImageLimits

ENVIRONMENT_PREFIX = "EDGE_AGENT_"
PILLOW_PIXELS = 178_956_970
"""Pillow refuses larger pictures whatever we say (twice its `Image.MAX_IMAGE_PIXELS`)."""


@dataclass(frozen=True)
class Settings:
    """What the agent may use and how it learns.

    Attributes:
        provider: "auto" or one of ONNX Runtime's provider names.
        engine: "auto", "onnxruntime-training" or "portable".
        threads: threads of the backbone; 0 leaves the choice to ONNX Runtime.
        max_file_bytes: greatest picture file.
        max_pixels: greatest width × height of a picture.
        views: re-shots that are remembered with a correction (0…8); the first brings a tenth more of the re-shots right, others little.
        confidence: a correction is learned when its label has at least this probability (0.5…0.999).
        rounds: greatest number of gradient steps of one solve; three times as many while a correction has less than one half.
        exponent_low, exponent_high: range of the kernel's exponent m.
        leak_budget: greatest sum over the remembered corrections of the mean kernel between unrelated pictures.
        same_picture: two contexts whose cosine is above this are the same picture.
        capacity: remembered corrections; 0 takes what the artifact allows.
        guard_drop: greatest loss of sentinel accuracy by one correction (0…1).
        guard_total: greatest loss of sentinel accuracy against the factory head (0…1).
        wait_ms: how long a writer waits for another process on the same state.
        keep_pictures: whether the journal keeps the picture of a correction.
        kept_pictures: how many pictures are kept; the oldest leave first.
        kept_pictures_bytes: how many bytes of pictures are kept.
        kept_generations: how many snapshots of the head are kept.
        kept_unused: of how many corrections that no longer act (undone, refused) what was seen is kept; their history always is.
        collect: whether `predict` and the service keep the pictures that are worth a person's second: see docs/queue.md.
        queue_pictures: how many pictures may wait; the least informative leave first, and 0 keeps none.
        queue_bytes: how many bytes of pictures may wait.
        queue_worth: a picture waits when asking about it is worth at least this (0…1).
        queue_alike: of two pictures whose contexts have a cosine above this only one waits at a time.
        queue_repeat: a picture whose context is this near to one that was answered or taught is not asked about again.
        trusted_key: a file of public keys; with it an artifact that none of them signed, or an older one, is refused. "" trusts all.
        trial_timeout_s: how long the first load of an artifact may take in its child process; 0 loads it without one.
        trial_memory_bytes: what that child may use besides six times the artifact's own bytes.
    """

    provider: str = "auto"
    engine: str = "auto"
    threads: int = 0
    max_file_bytes: int = 64 * 1024**2
    max_pixels: int = 50_000_000
    views: int = 1
    confidence: float = 0.9
    rounds: int = 100
    exponent_low: float = 2.0
    exponent_high: float = 4.0
    leak_budget: float = 0.3
    same_picture: float = 0.98
    capacity: int = 0
    guard_drop: float = 0.02
    guard_total: float = 0.05
    wait_ms: int = 10_000
    keep_pictures: bool = True
    kept_pictures: int = 500
    kept_pictures_bytes: int = 64 * 1024**2
    kept_generations: int = 16
    kept_unused: int = 1000
    collect: bool = False
    queue_pictures: int = 200
    queue_bytes: int = 32 * 1024**2
    queue_worth: float = 0.1
    queue_alike: float = 0.8
    queue_repeat: float = 0.95
    trusted_key: str = ""
    trial_timeout_s: int = 120
    trial_memory_bytes: int = 2 * 1024**3

    def __post_init__(self) -> None:
        """Refuse values that no rule can work with."""
        ranges: dict[str, tuple[float, float]] = {
            "threads": (0, 1024),  "max_file_bytes": (1, 2**31), "max_pixels": (1, PILLOW_PIXELS), "confidence": (0.5, 0.999),
            "rounds": (1, 10_000), "exponent_low": (1, 8), "exponent_high": (self.exponent_low, 8), "leak_budget": (0, 100),
            "same_picture": (0.5, 1), "capacity": (0, 1_000_000), "views": (0, 8), "guard_drop": (0, 1), "guard_total": (0, 1),
            "wait_ms": (0, 3_600_000), "kept_pictures": (0, 10_000_000), "kept_pictures_bytes": (0, 2**40), "kept_generations": (1, 10_000),
            "kept_unused": (0, 10_000_000),
            "queue_pictures": (0, 10_000), "queue_bytes": (0, 2**40), "queue_worth": (0, 1), "queue_alike": (0.5, 1),
            "queue_repeat": (0.5, 1), "trial_timeout_s": (0, 86_400), "trial_memory_bytes": (2**28, 2**44),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"setting {name} is {getattr(self, name)}, expected {low} to {high}", "see edge-agent --help")

    def capacity_within(self, allowed: int) -> int:
        """How many rows the head may remember, where the artifact allows so many."""
        return min(self.capacity or allowed, allowed)

    @property
    def image_limits(self) -> ImageLimits:
        """The limits of `edge_agent.image`; with it comes Pillow, which a command without a picture does not wait for."""
        from edge_agent.image import ImageLimits

        return ImageLimits(self.max_file_bytes, self.max_pixels)

    @classmethod
    def load(cls, file: str | os.PathLike[str] | None, environment: Mapping[str, str], flags: Mapping[str, object]) -> Settings:
        """Settings from a file, the environment and flags, each over the one before.

        Args:
            file: a TOML file of `name = value` lines, or None; `EDGE_AGENT_SETTINGS` names one too.
            environment: usually `os.environ`; `EDGE_AGENT_<NAME>` sets `<name>`.
            flags: values that the command line or the caller gave; None means not given.

        Returns:
            The settings.

        Raises:
            UsageError: the file cannot be read, or a name or value is not one of ours.
        """
        file = file or environment.get(ENVIRONMENT_PREFIX + "SETTINGS")
        values: dict[str, object] = dict(read_settings_file(file)) if file else {}
        for table in TABLES:  # for others: see health_settings.py, mqtt/settings.py
            values.pop(table, None)
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for name in fields:
            text = environment.get(ENVIRONMENT_PREFIX + name.upper())
            if text:
                values[name] = text
        values.update({name: value for name, value in flags.items() if value is not None})
        unknown = sorted(set(values) - set(fields))
        if unknown:
            raise UsageError(f"unknown setting {unknown[0]!r}", f"the settings are {', '.join(fields)}")
        return cls(**{name: as_type_of(fields[name].default, f"setting {name}", value) for name, value in values.items()})


def default_state(environment: Mapping[str, str], artifact_digest: str) -> Path:
    """The state directory where none was named: `$EDGE_AGENT_STATE`, systemd's `$STATE_DIRECTORY`, or one below `$XDG_STATE_HOME`.

    Raises:
        UsageError: nothing is set, and the user has no home directory.
    """
    named = environment.get("EDGE_AGENT_STATE") or environment.get("STATE_DIRECTORY", "").split(":")[0]
    if named:
        return Path(named)
    try:
        base = Path(environment.get("XDG_STATE_HOME") or Path.home() / ".local/state")
    except RuntimeError:  # as for a service's user
        raise UsageError("no state directory was named, and there is no home directory", "give --state a directory") from None
    return base / "edge-agent" / artifact_digest[:12]
