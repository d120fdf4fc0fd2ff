"""The monitoring guide and the files that people install say what the program does."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from on_device import ROOT

from edge_agent import cli_health, cli_mqtt, cli_serve
from edge_agent.health_settings import CHECKS, MEASURES, HealthSettings
from edge_agent.metrics import VERDICTS

GUIDE = (ROOT / "docs" / "monitoring.md").read_text("utf-8")
INSTALLED = sorted(path for path in (ROOT / "contrib").rglob("*") if path.is_file())
UNITS = {"s": "_seconds", "B": "_bytes", "c": "_total"}
METRICS = {f"edge_agent_{spec.name}{'_ratio' if spec.ratio else UNITS.get(spec.unit, '')}" for spec in MEASURES.values()} | {
    "edge_agent_info",
    "edge_agent_health_status",
    "edge_agent_check_status",
    "edge_agent_health_timestamp_seconds",
    "edge_agent_health_duration_seconds",
    "edge_agent_corrections_total",
}
COMMANDS = (cli_health.health, cli_health.metrics, cli_mqtt.mqtt, cli_serve.serve)
OPTIONS = {name for command in COMMANDS for option in command.params for name in option.opts}


def test_the_guide_has_every_check_and_option() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", GUIDE, re.M)
    assert rows == list(CHECKS)
    for option in ("--timeout", "--deep", "--skip", "--warning", "--critical", "--max-latency-ms", "--json", "--table", "--textfile"):
        assert option in GUIDE and option in OPTIONS


def test_the_settings_of_the_guide_are_read(tmp_path: Path) -> None:
    path = tmp_path / "edge-agent.toml"
    path.write_text(GUIDE.split("```toml\n")[1].split("```")[0], "utf-8")
    found = HealthSettings.load(path, {}, {})
    assert (found.timeout_s, found.max_latency_ms) == (20, 250)
    assert "latency" not in found.checks
    assert found.warning["head_rows"] is None


@pytest.mark.parametrize("path", INSTALLED, ids=lambda path: path.name)
def test_what_people_install_uses_options_and_metrics_that_exist(path: Path) -> None:
    text = path.read_text("utf-8")
    said = {word for line in text.splitlines() if "edge-agent " in line for word in re.findall(r"(?<=\s)--[a-z][a-z-]+", line)}
    elsewhere = {"--artifact", "--state", "--system", "--home-dir", "--no-cache-dir", "--interval", "--start-period", "--retries"}
    assert said <= OPTIONS | elsewhere
    assert set(re.findall(r"\bedge_agent_[a-z0-9_]*(?:ratio|seconds|bytes|total|status)\b", text)) <= METRICS
    assert len(VERDICTS) == 3


@pytest.mark.skipif(shutil.which("systemd-analyze") is None or sys.platform != "linux", reason="systemd is not installed")
@pytest.mark.parametrize("path", [path for path in INSTALLED if path.suffix == ".service"], ids=lambda path: path.name)
def test_units_are_hardened(path: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=10", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_alerts_are_rules() -> None:
    command = ["promtool", "check", "rules", str(ROOT / "contrib" / "prometheus" / "edge-agent-alerts.yml")]
    assert subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
