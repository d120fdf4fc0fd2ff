"""Which checks and thresholds are in force: defaults < file < environment < flag."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.errors import UsageError
from edge_agent.health_settings import CHECKS, MEASURES, HealthSettings
from edge_agent.nagios import Range
from edge_agent.settings import Settings

FILE = """
threads = 2
[health]
skip = ["latency"]
timeout_s = 20
max_latency_ms = 50
[health.warning]
disk_free = "1000:"
memory_available = ""
[health.critical]
disk_free = "10:"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "settings.toml"
    path.write_text(FILE, "utf-8")
    return path


def test_each_source_wins_over_the_one_before(file: Path) -> None:
    environment = {"EDGE_AGENT_HEALTH_TIMEOUT_S": "30", "EDGE_AGENT_HEALTH_WARNING": "disk_free=2000:,latency_p50=0.1"}
    flags = {"timeout_s": 40.0, "warning": ("latency_p50=0.2",), "skip": None, "deep": None}
    found = HealthSettings.load(file, environment, flags)
    assert "latency" not in found.checks
    assert found.timeout_s == 40
    assert found.max_latency_ms == 50
    assert found.warning == {"disk_free": Range.parse("2000:"), "memory_available": None, "latency_p50": Range.parse("0.2")}
    assert found.critical == {"disk_free": Range.parse("10:")}


def test_the_environment_names_a_file_too(file: Path) -> None:
    assert HealthSettings.load(None, {"EDGE_AGENT_SETTINGS": str(file)}, {}).timeout_s == 20


def test_the_other_settings_leave_the_table_alone(file: Path) -> None:
    assert Settings.load(file, {}, {}).threads == 2


def test_defaults() -> None:
    found = HealthSettings.load(None, {}, {})
    assert found == HealthSettings()
    assert found.checks == tuple(CHECKS)


def test_checks_keep_their_order() -> None:
    found = HealthSettings.load(None, {}, {"checks": "clock, artifact,disk", "skip": "disk"})
    assert found.checks == ("artifact", "clock")


@pytest.mark.parametrize("text", ["1", "true", "Yes"])
def test_deep_from_the_environment(text: str) -> None:
    assert HealthSettings.load(None, {"EDGE_AGENT_HEALTH_DEEP": text}, {}).deep


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"checks": "nonsense"}, "unknown check 'nonsense'"),
        ({"skip": "gold"}, "unknown check 'gold'"),
        ({"checks": "clock", "skip": "clock"}, "no check is left"),
        ({"checks": ","}, "no check is left"),
        ({"warning": ("disk_free",)}, None),
        ({"warning": ("disk=1",)}, "unknown measure 'disk'"),
        ({"critical": ("disk_free=x",)}, "'x' is not a range"),
        ({"critical": ("disk_free=5:1",)}, "begins above its end"),
        ({"timeout_s": 0.0}, "the time-out is 0.0 s"),
        ({"timeout_s": float("nan")}, "the time-out is nan s"),
        ({"timeout_s": "soon"}, "timeout_s is 'soon'"),
        ({"max_latency_ms": -1.0}, "the greatest latency is -1.0 ms"),
        ({"max_latency_ms": True}, "max_latency_ms is True"),
        ({"deep": "maybe"}, "deep is 'maybe'"),
        ({"checks": 5}, "checks is 5"),
        ({"checks": [5]}, "checks is [5]"),
    ],
)
def test_what_means_nothing_is_refused(flags: dict[str, object], words: str | None) -> None:
    if words is None:
        assert HealthSettings.load(None, {}, flags).warning == {"disk_free": None}
        return
    with pytest.raises(UsageError) as found:
        HealthSettings.load(None, {}, flags)
    assert words in str(found.value)


@pytest.mark.parametrize("text", ["health = 5", "[health]\ntime = 1", "[health\n"])
def test_a_file_that_means_nothing_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(UsageError):
        HealthSettings.load(path, {}, {})


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        HealthSettings.load(tmp_path / "none.toml", {}, {})


def test_a_threshold_replaces_both_kinds_of_default() -> None:
    health = HealthSettings(warning={"disk_free": None, "golden_difference": Range.parse("5")})
    assert health.measure("disk_free", 1).warning is None
    assert health.measure("disk_free", 1).critical == Range.parse(MEASURES["disk_free"].critical)
    assert health.measure("golden_difference", 1, warning=Range.at_most(3)).warning == Range.parse("5")
    assert health.measure("latency_p95", 1, critical=Range.at_most(3)).critical == Range.at_most(3)


@pytest.mark.parametrize("spec", MEASURES.values(), ids=lambda spec: spec.name)
def test_every_measure_belongs_to_a_check_and_its_defaults_are_ranges(spec: object) -> None:
    assert MEASURES[spec.name] is spec  # type: ignore[attr-defined]
    assert spec.check in CHECKS  # type: ignore[attr-defined]
    for text in (spec.warning, spec.critical):  # type: ignore[attr-defined]
        assert not text or Range.parse(text)
