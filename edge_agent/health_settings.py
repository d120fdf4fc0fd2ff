"""Which checks run and what they alert on: defaults < `[health]` of the settings file < environment < flag."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_agent.errors import UsageError
from edge_agent.nagios import Measure, Range
from edge_agent.settings_file import read_settings_file

PREFIX = "EDGE_AGENT_HEALTH_"
CHECKS: dict[str, str] = {
    "artifact": "manifest, SHA-256 of every file and signature; its first load did no harm; the artifact in use is the one on the disk",
    "runtime": "ONNX Runtime, the provider and the engine that were asked for start",
    "state": "the journal's pages and digests, its size, and whether its owner can write it; --deep: solving it again gives the head",
    "head": "the head in use is finite; how much it differs from the factory's; remembered rows and spare classes",
    "sentinel": "accuracy on the sentinel set against the factory head",
    "golden": "the golden samples give the logits that they gave where the artifact was built",
    "latency": "time of a prediction, over the golden samples",
    "corrections": "how many of the last 20 corrections were refused",
    "queue": "pictures that wait for a person, and for how long",
    "disk": "free space and inodes where the state is kept",
    "memory": "memory that is left for this process, its control group's limit included",
    "clock": "the clock is set, and not behind the last correction",
}


@dataclass(frozen=True)
class MeasureSpec:
    """A number that a check measures, and what it alerts on by default.

    Attributes:
        name: in the performance data, in `--warning NAME=RANGE` and, with `edge_agent_` before and its unit behind, in Prometheus.
        check: the check it belongs to.
        unit: "s", "B", "c" or "" as in the performance data.
        meaning: in a few words; for Prometheus' HELP too.
        warning, critical: Nagios ranges; "" for none.
        otherwise: the default in words where it depends on the artifact or on other settings.
        ratio: whether it is a share from 0 to 1.
    """

    name: str
    check: str
    unit: str
    meaning: str
    warning: str = ""
    critical: str = ""
    otherwise: str = ""
    ratio: bool = False


_SPECS = (
    MeasureSpec("artifact_size", "artifact", "B", "bytes of the artifact's files"),
    MeasureSpec("runtime_start", "runtime", "s", "time to start the session and the engine"),
    MeasureSpec("state_size", "state", "B", "bytes of the journal with its log",
                otherwise="warning above kept_pictures_bytes + 192 MiB, critical above four times that"),
    MeasureSpec("state_generations", "state", "", "heads kept in the journal"),
    MeasureSpec("state_difference", "state", "", "greatest difference of a logit between the head and a new solve",
                critical="~:0.001", otherwise="with --deep only"),
    MeasureSpec("head_changed", "head", "", "share of sentinel answers that differ from the factory's", "0.2", "0.5", ratio=True),
    MeasureSpec("head_rows", "head", "", "remembered rows", otherwise="warning above 95 % of the capacity: the oldest are forgotten next"),
    MeasureSpec("head_spare_classes", "head", "", "classes that can still be added"),
    MeasureSpec("sentinel_accuracy", "sentinel", "", "accuracy of the head in use on the sentinel set", ratio=True),
    MeasureSpec("sentinel_loss", "sentinel", "", "accuracy of the factory head less that of the head in use",
                otherwise="warning above 80 % of guard_total, critical above guard_total", ratio=True),
    MeasureSpec("golden_difference", "golden", "", "greatest difference of a logit on the golden samples",
                otherwise="critical above the artifact's tolerance"),
    MeasureSpec("latency_p50", "latency", "s", "median time of a prediction"),
    MeasureSpec("latency_p95", "latency", "s", "95th percentile of the time of a prediction", otherwise="critical above --max-latency-ms"),
    MeasureSpec("corrections_active", "corrections", "", "corrections in force"),
    MeasureSpec("corrections_accepted", "corrections", "c", "corrections that were accepted"),
    MeasureSpec("corrections_already_correct", "corrections", "c", "corrections of pictures that were right already, remembered by force"),
    MeasureSpec("corrections_refused", "corrections", "c", "corrections that were refused"),
    MeasureSpec("corrections_undone", "corrections", "c", "corrections that were taken back"),
    MeasureSpec("recent_refused", "corrections", "", "refused ones among the last 20 corrections", "10", "16"),
    MeasureSpec("recent_undone", "corrections", "", "ones taken back among the last 20 corrections"),
    MeasureSpec("queue_waiting", "queue", "", "pictures that wait to be labelled"),
    MeasureSpec("queue_size", "queue", "B", "bytes of the pictures that wait"),
    MeasureSpec("queue_oldest", "queue", "s", "how long the oldest of them has waited", "~:604800"),
    MeasureSpec("disk_free", "disk", "B", "bytes free for the state", "104857600:", "20971520:"),
    MeasureSpec("disk_inodes_free", "disk", "", "inodes free for the state", "1000:", "100:"),
    MeasureSpec("memory_available", "memory", "B", "bytes of memory that are left", "134217728:", "33554432:"),
    MeasureSpec("memory_used", "memory", "B", "bytes of memory that this process holds"),
    MeasureSpec("clock_behind", "clock", "s", "how far the clock is behind the newest correction", "~:60"),
)  # fmt: skip
MEASURES: dict[str, MeasureSpec] = {spec.name: spec for spec in _SPECS}


@dataclass(frozen=True)
class HealthSettings:
    """What `health` does.

    Attributes:
        checks: names of the checks to run, in the order of `CHECKS`.
        deep: whether `state` also solves the corrections again and compares.
        timeout_s: how long the command may take (0.1…3600); `EdgeAgent.health` does not look at it.
        max_latency_ms: greatest time of a prediction (95th percentile), or None for no limit.
        warning, critical: ranges in place of the defaults, by the name of the measure; None switches one off.
    """

    checks: tuple[str, ...] = tuple(CHECKS)
    deep: bool = False
    timeout_s: float = 10.0
    max_latency_ms: float | None = None
    warning: Mapping[str, Range | None] = field(default_factory=dict)
    critical: Mapping[str, Range | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse names and numbers that mean nothing."""
        _known(self.checks, CHECKS, "check")
        _known([*self.warning, *self.critical], MEASURES, "measure")
        if not self.checks:
            raise UsageError("no check is left to run", "skip fewer; see edge-agent health list")
        if not 0.1 <= self.timeout_s <= 3600:
            raise UsageError(f"the time-out is {self.timeout_s} s, expected 0.1 to 3600", "give --timeout SECONDS")
        if self.max_latency_ms is not None and not 0 < self.max_latency_ms < 1e9:
            raise UsageError(f"the greatest latency is {self.max_latency_ms} ms, expected more than 0", "give --max-latency-ms MS")

    @classmethod
    def load(cls, file: str | os.PathLike[str] | None, environment: Mapping[str, str], flags: Mapping[str, object]) -> HealthSettings:
        """Settings from the table `[health]` of a file, from `EDGE_AGENT_HEALTH_<NAME>`, and from flags, each over the one before.

        Args:
            file: a TOML file, or None; `EDGE_AGENT_SETTINGS` names one too.
            environment: usually `os.environ`.
            flags: the names are `checks`, `skip`, `deep`, `timeout_s`, `max_latency_ms`, `warning`, `critical`; None means not given.

        Returns:
            The settings. Thresholds add up; of two for the same measure the later source wins.

        Raises:
            UsageError: the file cannot be read, or a name or value is not one of ours.
        """
        file = file or environment.get("EDGE_AGENT_SETTINGS")
        table = read_settings_file(file).get("health", {}) if file else {}
        if not isinstance(table, dict):
            raise UsageError(f"health is {table!r} in {file}, expected a table", "write [health] and name = value lines below it")
        _known(table, _NAMES, "health setting")
        variables = {name: environment[PREFIX + name.upper()] for name in _NAMES if environment.get(PREFIX + name.upper())}
        sources = [table, variables, {name: value for name, value in flags.items() if value is not None}]
        values: dict[str, Any] = {name: value for source in sources for name, value in source.items()}
        chosen, skipped = _words(values.get("checks", tuple(CHECKS)), "checks"), _words(values.get("skip", ()), "skip")
        _known([*chosen, *skipped], CHECKS, "check")
        limit = values.get("max_latency_ms")
        return cls(
            tuple(name for name in CHECKS if name in chosen and name not in skipped), _flag(values.get("deep", False)),
            _number(values.get("timeout_s", cls.timeout_s), "timeout_s"), None if limit is None else _number(limit, "max_latency_ms"),
            _thresholds(sources, "warning"), _thresholds(sources, "critical"),
        )  # fmt: skip

    def measure(self, name: str, value: float, critical: Range | None = None, warning: Range | None = None) -> Measure:
        """A measured value with its ranges: as they were set, else as given here, else as the table has them."""
        spec = MEASURES[name]
        warning = warning or (Range.parse(spec.warning) if spec.warning else None)
        critical = critical or (Range.parse(spec.critical) if spec.critical else None)
        return Measure(name, float(value), spec.unit, self.warning.get(name, warning), self.critical.get(name, critical))


_NAMES = ("checks", "skip", "deep", "timeout_s", "max_latency_ms", "warning", "critical")


def _thresholds(sources: Iterable[Mapping[str, Any]], level: str) -> dict[str, Range | None]:
    """The ranges of one level from every source: a table, or words `NAME=RANGE`."""
    found: dict[str, Range | None] = {}
    for source in sources:
        given = source.get(level, ())
        pairs = given.items() if isinstance(given, Mapping) else [word.partition("=")[::2] for word in _words(given, level)]
        for name, text in pairs:
            _known([name], MEASURES, "measure")
            found[name] = Range.parse(str(text)) if str(text).strip() else None
    return found


def _known(names: Iterable[str], known: Iterable[str], what: str) -> None:
    known = tuple(known)
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise UsageError(f"unknown {what} {unknown!r}", f"use one of {', '.join(known)}")


def _words(value: object, name: str) -> tuple[str, ...]:
    """A list of words: a list in the settings file, words between commas elsewhere."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        raise UsageError(f"health setting {name} is {value!r}, expected words", 'write them as "one,two"')
    return tuple(word.strip() for text in texts for word in text.split(",") if word.strip())


def _number(value: object, name: str) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise ValueError
        return float(value)
    except (ValueError, OverflowError):
        raise UsageError(f"health setting {name} is {value!r}, expected a number", "see edge-agent health --help") from None


def _flag(value: object) -> bool:
    if isinstance(value, str) and value.lower() in ("0", "1", "true", "false", "yes", "no"):
        return value.lower() in ("1", "true", "yes")
    if not isinstance(value, bool):
        raise UsageError(f"health setting deep is {value!r}, expected true or false", "see edge-agent health --help")
    return value
