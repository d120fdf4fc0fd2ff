"""Every limit of the service, with its unit: defaults < `[service]` of the settings file < `EDGE_AGENT_SERVICE_<NAME>`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass

from edge_agent.errors import UsageError
from edge_agent.settings_file import as_type_of, read_settings_file

PREFIX = "EDGE_AGENT_SERVICE_"


@dataclass(frozen=True)
class ServiceLimits:
    """What one client, and all of them together, may take.

    Attributes:
        connections: open at a time; past them the one that has waited longest for its request is closed.
        head_bytes: greatest request line and headers together.
        head_s: how long a client may take to send them.
        body_bytes: greatest request body.
        body_s: how long a client may take to send it.
        bodies_bytes: greatest sum of the bodies that are held at a time.
        stall_s: how long a client may leave its answer unread.
        keep_alive_s: how long a connection without a request stays open.
        threads: predictions at a time; 0 takes one for each processor core.
        waiting: predictions that may wait for a thread; more are told to come back later.
        waiting_corrections: the same for what is written.
        recent: predictions that can be corrected by their sample id.
        recent_bytes: greatest sum of their pictures.
        failures: wrong tokens from one address before it has to wait.
        failure_s: how long it waits for each further try.
        self_check_s: time between two predictions of a golden sample; with systemd's watchdog half of its time, if that is less.
        stop_s: how long a stop waits for what is under way.
    """

    connections: int = 512
    head_bytes: int = 16 * 1024
    head_s: float = 10.0
    body_bytes: int = 16 * 1024**2
    body_s: float = 30.0
    bodies_bytes: int = 64 * 1024**2
    stall_s: float = 30.0
    keep_alive_s: int = 15
    threads: int = 0
    waiting: int = 128
    waiting_corrections: int = 32
    recent: int = 256
    recent_bytes: int = 32 * 1024**2
    failures: int = 10
    failure_s: float = 2.0
    self_check_s: float = 30.0
    stop_s: float = 20.0

    def __post_init__(self) -> None:
        """Refuse limits that nothing could keep."""
        day, half_gib = 86_400.0, 512 * 1024**2
        ranges: dict[str, tuple[float, float]] = {
            "connections": (8, 100_000), "head_bytes": (1024, 1024**2), "head_s": (0.1, day), "body_bytes": (1024, half_gib),
            "body_s": (0.1, day), "bodies_bytes": (self.body_bytes, 2**40), "stall_s": (0.1, day), "keep_alive_s": (1, day),
            "threads": (0, 1024), "waiting": (0, 100_000), "waiting_corrections": (0, 100_000), "recent": (0, 1_000_000),
            "recent_bytes": (0, 2**40), "failures": (1, 1_000_000), "failure_s": (0.01, day), "self_check_s": (0.1, day),
            "stop_s": (0, day),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"service limit {name} is {getattr(self, name)}, expected {low} to {high}", "see docs/service.md")

    @classmethod
    def load(cls, file: str | os.PathLike[str] | None, environment: Mapping[str, str]) -> ServiceLimits:
        """Limits from the table `[service]` of a file and from the environment, each over the one before.

        Args:
            file: a TOML file, or None; `EDGE_AGENT_SETTINGS` names one too.
            environment: usually `os.environ`; `EDGE_AGENT_SERVICE_<NAME>` sets `<name>`.

        Returns:
            The limits.

        Raises:
            UsageError: the file cannot be read, or a name or value is not one of ours.
        """
        file = file or environment.get("EDGE_AGENT_SETTINGS")
        table = read_settings_file(file).get("service", {}) if file else {}
        if not isinstance(table, dict):
            raise UsageError(f"service is {table!r} in {file}, expected a table", "write [service] and name = value lines below it")
        fields = {field.name: field for field in dataclasses.fields(cls)}
        values: dict[str, object] = dict(table)
        values |= {name: environment[PREFIX + name.upper()] for name in fields if environment.get(PREFIX + name.upper())}
        unknown = sorted(set(values) - set(fields))
        if unknown:
            raise UsageError(f"unknown service limit {unknown[0]!r}", f"the limits are {', '.join(fields)}")
        hint = "see docs/service.md"
        return cls(**{name: as_type_of(fields[name].default, f"service limit {name}", value, hint) for name, value in values.items()})
