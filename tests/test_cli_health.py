"""`edge-agent health` as a monitor runs it: the exit code is 0, 1, 2 or 3, whatever happens, and standard output says why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from on_device import ARTIFACT, ROOT

from edge_agent import cli, cli_health, health
from edge_agent.health_settings import CHECKS, MEASURES

FAST = ("--checks", "disk,memory,clock")


def run(*arguments: str, environment: dict[str, str] | None = None, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own, as installed."""
    command = [sys.executable, "-m", "edge_agent.cli", *arguments]
    variables = {**os.environ, **(environment or {})}
    return subprocess.run(command, cwd=ROOT, env=variables, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, timeout=60)


def ran(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The program in this process: exit code and standard output."""
    status = cli.run(arguments)
    return status, capsys.readouterr().out


def test_ok_is_0_and_one_line_with_performance_data(tmp_path: Path) -> None:
    done = run("--artifact", str(ARTIFACT), "--state", str(tmp_path / "state"), "health")
    assert done.returncode == 0, done.stdout
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1
    text, _, performance = done.stdout.rstrip("\n").partition(" | ")
    assert text == f"EDGE-AGENT OK - {', '.join(CHECKS)} OK"
    labels = [word.partition("=")[0] for word in performance.split(" ")]
    assert set(labels) <= set(MEASURES)
    assert len(set(labels)) == len(labels) > 20


def test_warning_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    status, said = ran(capsys, "health", "--checks", "disk", "-w", "disk_free=~:0")
    assert (status, said[:20]) == (1, "EDGE-AGENT WARNING -")


def test_critical_is_2(tmp_path: Path) -> None:
    done = run("--artifact", str(tmp_path / "none"), "health")
    assert done.returncode == 2
    assert done.stdout.startswith("EDGE-AGENT CRITICAL - artifact CRITICAL: no artifact at ")
    assert done.stderr == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("health", "--nonsense"),
        ("health", "nonsense"),
        ("health", "list", "--nonsense"),
        ("--nonsense", "health"),
        ("--nonsense", "value", "health"),
        ("--threads", "many", "health"),
        ("--threads", "-5", "health"),
        ("--settings", "no-such-file.toml", "health"),
        ("--state", "health", "health", "--timeout"),
        ("health", "--timeout", "0"),
        ("health", "--timeout", "soon"),
        ("health", "--checks", "nonsense"),
        ("health", "--skip", ",".join(CHECKS)),
        ("health", "--warning", "disk_free=x"),
        ("health", "--critical", "nonsense=1"),
        ("health", "--max-latency-ms", "-1"),
        ("health", "--help"),
        ("--help", "health"),
        ("--version", "health"),
    ],
    ids=" ".join,
)
def test_a_wrong_call_is_3(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    status, said = ran(capsys, *arguments)
    assert status == 3
    assert said
    if "--help" not in arguments and "--version" not in arguments:
        assert said.startswith("EDGE-AGENT UNKNOWN - ")
        assert len(said.splitlines()) == 1


def test_no_artifact_named_is_3(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = "EDGE-AGENT UNKNOWN - no artifact was named; hint: give --artifact DIR or set EDGE_AGENT_ARTIFACT\n"
    assert ran(capsys, "health") == (3, line)


def test_an_exception_is_3(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **named: object) -> None:
        raise MemoryError("no\nroom | here")

    monkeypatch.setattr(health, "examine", broken)
    assert ran(capsys, "health") == (3, "EDGE-AGENT UNKNOWN - MemoryError: no room / here\n")


@pytest.mark.parametrize("error", [SystemExit(0), SystemExit(1), KeyboardInterrupt(), GeneratorExit()])
def test_even_what_ends_a_process_is_3(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def broken(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(cli_health, "supervised", broken)
    status, said = ran(capsys, "health")
    assert status == 3
    assert said.startswith("EDGE-AGENT UNKNOWN - ")


def test_a_time_out_is_3_and_says_where() -> None:
    done = run("health", "--timeout", "0.1")
    assert done.returncode == 3
    assert done.stdout.startswith("EDGE-AGENT UNKNOWN - timed out after 0.1 s, at ")


def test_debug_shows_where_on_stderr_and_is_still_3() -> None:
    done = run("--debug", "--settings", "no-such-file.toml", "health")
    assert done.returncode == 3
    assert "Traceback" in done.stderr
    assert done.stdout.startswith("EDGE-AGENT UNKNOWN - settings file no-such-file.toml cannot be read")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("arguments", [("health", *FAST), ("health", "--help"), ("health", "--nonsense")])
def test_an_output_that_cannot_be_written_is_3(arguments: tuple[str, ...]) -> None:
    with open("/dev/full", "w", encoding="ascii") as full:
        assert run(*arguments, stdout=full.fileno()).returncode == 3


def test_an_output_that_is_closed_is_no_exit_code_of_python() -> None:
    program = [sys.executable, "-m", "edge_agent.cli", "health", *FAST]
    command = ["sh", "-c", 'exec "$@" >&-', "sh", *program]
    assert subprocess.run(command, cwd=ROOT, check=False, timeout=60, stderr=subprocess.DEVNULL).returncode in (0, 3)


def test_an_encoding_without_our_letters(tmp_path: Path) -> None:
    odd = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = run("--artifact", str(tmp_path / "größe"), "health", environment=odd)
    assert done.returncode == 2
    assert "gr??e" in done.stdout or "gr\\" in done.stdout


def test_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    status, said = ran(capsys, "health", "--json", *FAST)
    found = json.loads(said)
    assert (status, found["status"]) == (0, "OK")
    assert [check["name"] for check in found["checks"]] == ["disk", "memory", "clock"]
    assert set(found["checks"][0]) == {"name", "status", "detail", "hint", "measures"}


@pytest.mark.parametrize("arguments", [("health", "--json", "--nonsense"), ("--nonsense", "health", "--json")])
def test_json_also_where_the_call_is_wrong(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    status, said = ran(capsys, *arguments)
    assert status == 3
    found = json.loads(said)
    assert (found["status"], found["checks"]) == ("UNKNOWN", [])
    assert "nonsense" in found["detail"]


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    status, said = ran(capsys, "health", "--table", *FAST, "-c", "disk_free=~:0")
    assert status == 2
    assert "disk: free some space" in said
    assert said.rstrip().splitlines()[-1].startswith("CRITICAL in ")
    assert "\x1b" not in said


def test_environment_and_file_are_heard(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('[health]\nchecks = ["disk"]\n[health.critical]\ndisk_free = "~:0"\n', "utf-8")
    assert ran(capsys, "--settings", str(path), "health")[0] == 2
    monkeypatch.setenv("EDGE_AGENT_HEALTH_CRITICAL", "disk_free=")
    assert ran(capsys, "--settings", str(path), "health")[0] == 0
    assert ran(capsys, "--settings", str(path), "health", "--critical", "disk_free=~:1")[0] == 2


def test_list_names_every_check_and_measure(capsys: pytest.CaptureFixture[str]) -> None:
    status, said = ran(capsys, "health", "--skip", "golden", "-w", "disk_free=5:", "list")
    assert status == 0
    assert "golden (skipped): " in said
    assert all(f"\n{name}" in f"\n{said}" for name in CHECKS)
    assert all(f"  {name}" in said for name in MEASURES)
    assert "warning 5:, critical 20971520:" in said
    status, said = ran(capsys, "health", "list", "--json")
    assert [json.loads(line)["measure"] for line in said.splitlines()] == list(MEASURES)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("health", True),
        ("--artifact health info", False),
        ("--artifact x health", True),
        ("--artifact=x health", True),
        ("--debug health", True),
        ("--bogus health", True),
        ("--bogus x health", True),
        ("info health", False),
        ("predict health", False),
        ("labels add health", False),
        ("", False),
    ],
)
def test_which_command_lines_ask_for_health(words: str, found: bool) -> None:
    assert cli_health.is_health(cli.cli, words.split()) is found


def test_every_option_stands_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    said = ran(capsys, "health", "--help")[1]
    for option in cli_health.health.params:
        assert option.opts[0] in said


def test_the_parent_stays_light() -> None:
    code = "import sys; from edge_agent import cli; print(sorted({'numpy', 'onnxruntime', 'PIL', 'safetensors'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
