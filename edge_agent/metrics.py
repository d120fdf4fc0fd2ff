"""A health report in Prometheus' text format, with the library `prometheus_client`.

Names and base units follow https://prometheus.io/docs/practices/naming/: `edge_agent_` before each measure's name, its unit behind it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from edge_agent.atomic_file import write_atomically
from edge_agent.errors import RuntimeUnavailable
from edge_agent.health import HealthReport
from edge_agent.health_settings import MEASURES
from edge_agent.nagios import Measure
from edge_agent.state_reader import VERDICTS

_STATES = "0 OK, 1 warning, 2 critical, 3 unknown"
_SUFFIXES = {"s": "_seconds", "B": "_bytes"}


def exposition(report: HealthReport) -> str:
    """The report as Prometheus reads it.

    Args:
        report: of `examine`.

    Returns:
        The text; a measure that could not be taken is not in it.

    Raises:
        RuntimeUnavailable: `prometheus_client` is not installed.
    """
    client, families = _library()

    class Families:
        def collect(self) -> Iterable[Any]:
            return _families(report, families)

    registry = client.CollectorRegistry(auto_describe=False)
    registry.register(Families())
    text: bytes = client.generate_latest(registry)
    return text.decode("utf-8")


def samples(report: HealthReport) -> str:
    """The same as JSON, one object per line: name, labels, value.

    Raises:
        RuntimeUnavailable: `prometheus_client` is not installed.
    """
    _, families = _library()
    found = (sample for family in _families(report, families) for sample in family.samples)
    lines = [{"name": sample.name, "labels": sample.labels, "value": float(sample.value)} for sample in found]
    return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)


def write_textfile(path: Path, text: str) -> None:
    """Write beside the path and rename, so that a collector never reads half of it.

    Args:
        path: usually in the folder of node_exporter's textfile collector.
        text: of `exposition`.

    Raises:
        InputError: the file cannot be written.
    """
    write_atomically(path, text.encode())


def _families(report: HealthReport, families: Any) -> Iterator[Any]:
    yield families.InfoMetricFamily("edge_agent", "What was examined.", value=report.facts)
    values = {measure.name: measure for measure in report.measures}
    yield families.GaugeMetricFamily("edge_agent_health_status", f"Worst state: {_STATES}.", report.status)
    checks = families.GaugeMetricFamily("edge_agent_check_status", f"State of one check: {_STATES}.", labels=["check"])
    for check in report.checks:
        checks.add_metric([check.name], check.status)
    yield checks
    yield families.GaugeMetricFamily("edge_agent_health_duration_seconds", "Time that the checks took.", report.elapsed_ms / 1000)
    yield families.GaugeMetricFamily("edge_agent_health_timestamp_seconds", "Time of the checks, seconds since 1970.", time.time())
    if "corrections_accepted" in values:
        verdicts = families.CounterMetricFamily("edge_agent_corrections", "Corrections by verdict.", labels=["verdict"])
        for verdict in VERDICTS:
            verdicts.add_metric([verdict], values[f"corrections_{verdict}"].value)
        yield verdicts
    for measure in values.values():
        if measure.name.removeprefix("corrections_") not in VERDICTS:
            yield _family(measure, families)


def _family(measure: Measure, families: Any) -> Any:
    spec = MEASURES[measure.name]
    suffix = "_ratio" if spec.ratio else _SUFFIXES.get(spec.unit, "")
    kind = families.CounterMetricFamily if spec.unit == "c" else families.GaugeMetricFamily
    meaning = f"{spec.meaning[0].upper()}{spec.meaning[1:]}."
    return kind(f"edge_agent_{measure.name}{suffix}", meaning, value=measure.value)


def _library() -> tuple[Any, Any]:
    try:
        import prometheus_client
        from prometheus_client import metrics_core
    except ImportError as error:
        hint = "pip install 'onnx-edge-agent[metrics]'"
        raise RuntimeUnavailable(f"prometheus_client cannot be imported: {error}", hint) from None
    return prometheus_client, metrics_core
