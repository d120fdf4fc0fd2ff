"""Each check has a fault that turns it red, and it alone; what cannot be checked then says so, and nothing is ever raised or written."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from on_device import ARTIFACT, PHOTOS, TRUTHS, an_entry, files_below, some_seen
from safetensors.numpy import load, save

from edge_agent import checks_machine, checks_model, health, state_reader
from edge_agent.agent import EdgeAgent
from edge_agent.artifact import Artifact, FileEntry
from edge_agent.health import HealthReport, examine
from edge_agent.health_settings import CHECKS, HealthSettings
from edge_agent.journal import Journal
from edge_agent.journal_digests import of_values, seal_rows
from edge_agent.journal_file import FILE_NAME
from edge_agent.manifest import Manifest
from edge_agent.nagios import Status
from edge_agent.settings import Settings

ROOMY = HealthSettings(max_latency_ms=60_000)
FAST = replace(ROOMY, checks=tuple(name for name in CHECKS if name not in ("golden", "latency")))


@dataclass
class Ground:
    """What a report is made on; a fault changes it."""

    state: Path
    folder: Path
    patch: pytest.MonkeyPatch
    artifact: Path = ARTIFACT
    settings: Settings = field(default_factory=Settings)
    health: HealthSettings = ROOMY
    now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)

    def report(self) -> HealthReport:
        return examine(self.artifact, self.state, self.settings, self.health, now=self.now)

    def sql(self, statement: str, *values: object) -> None:
        connection = sqlite3.connect(self.state / FILE_NAME)
        with connection:
            connection.execute(statement, values)
        connection.close()

    def own_artifact(self) -> Path:
        self.artifact = shutil.copytree(ARTIFACT, self.folder / "artifact")
        return self.artifact


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state with three corrections, a picture each; nobody has it open."""
    folder = tmp_path_factory.mktemp("taught") / "state"
    agent = EdgeAgent.open(ARTIFACT, folder, settings=Settings())
    for path, truth in zip(PHOTOS[:3], TRUTHS[:3], strict=True):
        assert agent.correct(agent.predict(path), truth, force=True).id
    agent.close()
    return folder


@pytest.fixture
def ground(tmp_path: Path, taught: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    (tmp_path / "ground").mkdir()
    return Ground(shutil.copytree(taught, tmp_path / "state"), tmp_path / "ground", monkeypatch)


def states(report: HealthReport) -> dict[str, str]:
    return {check.name: check.status.name for check in report.checks}


def red(report: HealthReport) -> set[str]:
    return {check.name for check in report.checks if check.status in (Status.WARNING, Status.CRITICAL)}


def head_of(ground: Ground) -> dict[str, np.ndarray]:
    connection = sqlite3.connect(ground.state / FILE_NAME)
    blob = connection.execute("SELECT head FROM generations ORDER BY number DESC LIMIT 1").fetchone()[0]
    connection.close()
    return load(blob)


def put_head(ground: Ground, arrays: dict[str, np.ndarray]) -> None:
    """In place of the newest head, with a digest that fits."""
    blob = save(arrays)
    newest = "(SELECT max(number) FROM generations)"
    ground.sql(f"UPDATE generations SET head=?, sha256=? WHERE number={newest}", blob, hashlib.sha256(blob).hexdigest())
    with sqlite3.connect(ground.state / FILE_NAME) as connection:
        seal_rows(connection, "generations")
    connection.close()


def resigned(folder: Path, name: str, content: bytes) -> None:
    """Another file in an artifact, and a manifest that fits it."""
    (folder / name).write_bytes(content)
    manifest = Manifest.from_bytes((folder / "manifest.json").read_bytes())
    entry = FileEntry(len(content), hashlib.sha256(content).hexdigest())
    (folder / "manifest.json").write_bytes(replace(manifest, files={**manifest.files, name: entry}).to_bytes())


def give_to(ground: Ground, artifact: str) -> None:
    """The state as one of another artifact."""
    ground.sql("UPDATE facts SET value=?, row_sha256=? WHERE name='artifact'", artifact, of_values(("artifact", artifact)))


def flip_a_byte_of_the_artifact(ground: Ground) -> None:
    path = ground.own_artifact() / "training" / "checkpoint"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)


def ask_for_an_engine_that_is_not_there(ground: Ground) -> None:
    ground.settings = Settings(engine="no-such-engine")


def flip_a_byte_of_a_kept_picture(ground: Ground) -> None:
    ground.sql("UPDATE pictures SET picture=substr(picture, 2) WHERE correction=1")


def poison_the_head(ground: Ground) -> None:
    arrays = head_of(ground)
    arrays["coefficients"][0, 0] = np.nan
    put_head(ground, arrays)


def teach_what_does_harm(ground: Ground) -> None:
    """A head that is wrong on 6 to 15 % of the sentinel pictures that the factory has right."""
    artifact, arrays = Artifact.open(ARTIFACT), head_of(ground)
    statistics = artifact.statistics
    factory = statistics.sentinel_logits.argmax(1) == statistics.sentinel_labels
    connection = sqlite3.connect(ground.state / FILE_NAME)
    seen = [load(connection.execute("SELECT seen FROM corrections WHERE id=?", (int(n),)).fetchone()[0]) for n in arrays["rows"]]
    connection.close()
    near = np.maximum(statistics.sentinel_context @ np.concatenate([one["context"] for one in seen]).T, 0)
    for scale in np.geomspace(1, 1000, 200):
        coefficients = (arrays["coefficients"] * scale).astype(np.float32)
        right = (statistics.sentinel_logits + near @ coefficients).argmax(1) == statistics.sentinel_labels
        if 0.06 <= factory.mean() - right.mean() <= 0.15:
            put_head(ground, {**arrays, "coefficients": coefficients, "exponent": np.array([1.0])})
            return
    pytest.fail("no such head was found")


def expect_other_golden_logits(ground: Ground) -> None:
    folder = ground.own_artifact()
    arrays = load((folder / "statistics.safetensors").read_bytes())
    arrays["golden_logits"] = arrays["golden_logits"] + np.float32(0.1)
    resigned(folder, "statistics.safetensors", save(arrays))
    give_to(ground, Artifact.open(folder).digest)


def make_it_slow(ground: Ground) -> None:
    class SlowClock:
        seconds = 0.0

        def perf_counter(self) -> float:
            self.seconds += 0.2
            return self.seconds

    ground.patch.setattr(checks_model, "time", SlowClock())
    ground.health = replace(ground.health, max_latency_ms=100)


def refuse_corrections(ground: Ground) -> None:
    artifact = Artifact.open(ARTIFACT)
    journal = Journal(ground.state, artifact.digest, Settings(), lambda: datetime.now(timezone.utc))
    with journal.writing() as writer:
        for _ in range(17):
            number = writer.next_correction()
            writer.add_correction(an_entry(number, active=False), some_seen(number), None)
    journal.close()


def let_a_picture_wait(ground: Ground, since: datetime) -> None:
    agent = EdgeAgent.open(ARTIFACT, ground.state, settings=replace(ground.settings, queue_worth=0))
    agent._journal._now = lambda: since
    assert agent.queue.offer(agent.predict(PHOTOS[5])).kept
    agent.close()


def leave_a_question_unanswered(ground: Ground) -> None:
    let_a_picture_wait(ground, datetime.now(timezone.utc) - timedelta(days=8))


def fill_the_disk(ground: Ground) -> None:
    usage = types.SimpleNamespace(total=10**9, used=10**9, free=4096)
    ground.patch.setattr(checks_machine, "shutil", types.SimpleNamespace(disk_usage=lambda place: usage))


def fill_the_memory(ground: Ground) -> None:
    file = ground.folder / "meminfo"
    file.write_text("MemTotal:  1000000 kB\nMemFree:  100 kB\nMemAvailable:  9000 kB\n", "ascii")
    ground.patch.setattr(checks_machine, "MEMORY_FILE", file)


def set_the_clock_to_1970(ground: Ground) -> None:
    ground.now = lambda: datetime(1970, 1, 1, 0, 1, tzinfo=timezone.utc)


NEED_THE_ARTIFACT = {"runtime", "head", "sentinel", "golden", "latency"}
FAULTS: dict[str, tuple[Callable[[Ground], None], str, str, set[str]]] = {
    # check: the fault, its state, words of its detail, checks that then cannot be made
    "artifact": (flip_a_byte_of_the_artifact, "CRITICAL", "training/checkpoint was changed", NEED_THE_ARTIFACT),
    "runtime": (ask_for_an_engine_that_is_not_there, "CRITICAL", "'no-such-engine' is not known", set()),
    "state": (flip_a_byte_of_a_kept_picture, "CRITICAL", "damaged: the picture of correction 1", set()),
    "head": (poison_the_head, "CRITICAL", "holds NaN or Inf", {"sentinel", "latency"}),
    "sentinel": (teach_what_does_harm, "CRITICAL", "sentinel_loss is 0.", set()),
    "golden": (expect_other_golden_logits, "CRITICAL", "logits differ by at most 0.1", set()),
    "latency": (make_it_slow, "CRITICAL", "latency_p95 is 200.0 ms, good is ~:0.1", set()),
    "corrections": (refuse_corrections, "CRITICAL", "recent_refused is 17, good is 16", set()),
    "queue": (leave_a_question_unanswered, "WARNING", "queue_oldest is 691", set()),
    "disk": (fill_the_disk, "CRITICAL", "disk_free is 4.1 kB", set()),
    "memory": (fill_the_memory, "CRITICAL", "memory_available is 9.2 MB", set()),
    "clock": (set_the_clock_to_1970, "WARNING", "the clock says 1970-01-01", set()),
}


def test_there_is_a_fault_for_each_check() -> None:
    assert list(FAULTS) == list(CHECKS) == list(health._CHECKS)


def test_a_sound_agent_is_ok(ground: Ground) -> None:
    report = ground.report()
    assert states(report) == dict.fromkeys(CHECKS, "OK"), report.line()
    assert report.status is Status.OK
    assert not any(check.hint for check in report.checks)
    assert set(report.facts) == {"version", "path", "model", "artifact", "onnxruntime", "provider", "engine"}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_turns_its_check_red_and_no_other(ground: Ground, name: str) -> None:
    fault, state, words, unchecked = FAULTS[name]
    fault(ground)
    report = ground.report()
    assert red(report) == {name}, report.line()
    assert {check for check, found in states(report).items() if found == "UNKNOWN"} == unchecked
    found = next(check for check in report.checks if check.name == name)
    assert found.status.name == state == report.status.name
    assert words in found.detail
    assert found.hint
    for check in report.checks:
        if check.name in unchecked:
            assert check.detail == f"not checked: {name} is {state}"
    assert f"{name} {state}: " in report.line()


@pytest.mark.parametrize("name", FAULTS)
def test_a_report_leaves_no_trace(ground: Ground, name: str) -> None:
    FAULTS[name][0](ground)
    before = files_below(ground.state), {path.name: path.stat().st_mtime_ns for path in ground.state.iterdir()}
    ground.health = replace(ground.health, checks=tuple(check for check in CHECKS if check != "latency"), deep=True)
    ground.report()
    assert (files_below(ground.state), {path.name: path.stat().st_mtime_ns for path in ground.state.iterdir()}) == before


def test_without_a_state_all_is_ok_and_none_is_made(tmp_path: Path) -> None:
    report = examine(ARTIFACT, tmp_path / "none" / "state", Settings(), replace(FAST, deep=True))
    assert set(states(report).values()) == {"OK"}, report.line()
    assert not (tmp_path / "none").exists()


def test_the_broken_part_is_named_when_its_own_check_is_left_out(ground: Ground) -> None:
    flip_a_byte_of_the_artifact(ground)
    ground.health = HealthSettings(checks=("head", "sentinel"))
    report = ground.report()
    assert states(report) == {"head": "CRITICAL", "sentinel": "CRITICAL"}
    assert "was changed" in report.checks[0].detail


def test_no_artifact_at_all(tmp_path: Path) -> None:
    report = examine(tmp_path / "nowhere", None, Settings(), ROOMY)
    assert report.status is Status.CRITICAL
    assert "no such directory" in report.line()
    assert states(report)["memory"] == "OK"
    assert json.loads(json.dumps(report.as_json()))["status"] == "CRITICAL"


class TestRuntime:
    def test_no_onnxruntime(self, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        report = ground.report()
        assert red(report) == {"runtime"}
        assert states(report)["golden"] == "UNKNOWN"
        assert states(report)["sentinel"] == "OK"

    def test_a_provider_that_does_not_work_is_no_silent_fall_back(self, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
        import onnxruntime

        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
        ground.health = replace(ground.health, checks=("runtime",))
        report = ground.report()
        assert states(report) == {"runtime": "WARNING"}
        assert "CUDA" in report.checks[0].detail

    def test_no_session_is_started_where_nobody_asks(self, ground: Ground) -> None:
        ground.health = FAST
        report = ground.report()
        assert report.status is Status.OK
        assert "no session was started" in next(check.detail for check in report.checks if check.name == "runtime")


class TestState:
    def test_of_another_artifact(self, ground: Ground) -> None:
        give_to(ground, "f" * 64)
        report = ground.report()
        assert red(report) == {"state"}
        assert "is of another artifact" in report.line()

    def test_a_damaged_correction_is_named_and_what_is_sound_serves(self, ground: Ground) -> None:
        ground.sql("UPDATE corrections SET seen=zeroblob(length(seen)) WHERE id=2")
        report = ground.report()
        assert red(report) == {"state"}
        assert "damaged: correction 2" in report.line()
        assert states(report)["state"] == "CRITICAL"
        assert states(report)["head"] == "OK", "predictions go on with the corrections that are sound"

    def test_not_a_journal(self, ground: Ground) -> None:
        for path in ground.state.glob("journal*"):
            path.write_bytes(b"something else" * 1000)
        report = ground.report()
        assert red(report) == {"state"}
        assert states(report)["corrections"] == "UNKNOWN"

    def test_of_a_newer_version(self, ground: Ground) -> None:
        ground.sql("PRAGMA user_version=99")
        report = ground.report()
        assert red(report) == {"state"}
        assert "written by a newer edge-agent" in report.line()

    def test_deep_compares_the_head_with_its_corrections(self, ground: Ground) -> None:
        ground.health = replace(FAST, deep=True)
        report = ground.report()
        assert report.status is Status.OK, report.line()
        assert next(measure.value for measure in report.measures if measure.name == "state_difference") == 0
        arrays = head_of(ground)
        put_head(ground, {**arrays, "coefficients": arrays["coefficients"] * np.float32(1.01)})
        report = ground.report()
        assert red(report) == {"state"}
        assert "state_difference" in report.line()

    def test_too_large(self, ground: Ground) -> None:
        ground.health = HealthSettings(checks=("state",), warning=HealthSettings.load(None, {}, {"warning": ("state_size=1000",)}).warning)
        assert states(ground.report()) == {"state": "WARNING"}

    @pytest.mark.parametrize("mode", [0o555, 0o500])
    def test_a_directory_that_its_owner_cannot_write(self, ground: Ground, mode: int) -> None:
        if os.geteuid() == 0:
            os.chown(ground.state, 65534, 65534)
        ground.state.chmod(mode)
        try:
            report = ground.report()
        finally:
            ground.state.chmod(0o755)
        assert red(report) == {"state"}
        assert report.status is Status.WARNING
        assert "cannot be written by its owner" in report.line()

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid(), reason="needs root")
    def test_a_file_that_root_left_behind(self, ground: Ground) -> None:
        os.chown(ground.state, 65534, 65534)
        ground.health = FAST
        report = ground.report()
        assert red(report) == {"state"}
        assert "journal.sqlite3 belongs to user 0, the directory to user 65534" in report.line()

    def test_a_busy_state_is_unknown(self, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
        signatures = iter(range(1000))
        monkeypatch.setattr(state_reader, "signature", lambda path: next(signatures))
        monkeypatch.setattr(state_reader, "_PAUSE_S", 0)
        ground.health = FAST
        report = ground.report()
        assert states(report)["state"] == "UNKNOWN"
        assert not red(report)


class TestQueue:
    def test_what_waits_is_counted(self, ground: Ground) -> None:
        let_a_picture_wait(ground, datetime.now(timezone.utc) - timedelta(hours=1))
        (check,) = (check for check in ground.report().checks if check.name == "queue")
        measured = {measure.name: measure.value for measure in check.measures}
        assert (check.status, measured["queue_waiting"], measured["queue_size"]) == (Status.OK, 1, PHOTOS[5].stat().st_size)
        assert 3600 <= measured["queue_oldest"] < 3700
        assert check.detail.startswith("1 of at most 200 pictures wait, the oldest since 20")

    def test_a_clock_that_went_back_is_no_wait(self, ground: Ground) -> None:
        let_a_picture_wait(ground, datetime.now(timezone.utc) + timedelta(days=1))
        assert ("queue", "OK") in states(ground.report()).items()


class TestMachine:
    def test_few_inodes(self, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
        facts = types.SimpleNamespace(f_files=1000, f_favail=500, f_flag=0, f_bavail=10**6, f_blocks=10**6, f_bfree=10**6, f_frsize=4096)
        monkeypatch.setattr(checks_machine.os, "statvfs", lambda place: facts)
        ground.health = HealthSettings(checks=("disk",))
        assert "disk_inodes_free is 500, good is 1000:" in ground.report().line()

    def test_a_control_group_with_little_left(self, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
        group = ground.folder / "group" / "unit"
        group.mkdir(parents=True)
        for name, text in (("memory.max", "100000000"), ("memory.current", "90000000"), ("memory.stat", "anon 1\ninactive_file 5000000\n")):
            (group / name).write_text(text, "ascii")
        (group.parent / "memory.max").write_text("max", "ascii")
        (ground.folder / "own").write_text("0::/unit\n", "ascii")
        monkeypatch.setattr(checks_machine, "GROUP_FILE", ground.folder / "own")
        monkeypatch.setattr(checks_machine, "GROUP_ROOT", ground.folder / "group")
        ground.health = HealthSettings(checks=("memory",))
        report = ground.report()
        assert report.status is Status.CRITICAL
        assert "memory_available is 15.0 MB" in report.line()

    def test_a_system_that_says_nothing(self, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(checks_machine, "MEMORY_FILE", ground.folder / "none")
        ground.health = HealthSettings(checks=("memory",))
        assert states(ground.report()) == {"memory": "OK"}

    def test_a_clock_that_went_back(self, ground: Ground) -> None:
        ground.now = lambda: datetime.now(timezone.utc) - timedelta(hours=1)
        ground.health = HealthSettings(checks=("clock",))
        report = ground.report()
        assert report.status is Status.WARNING
        assert "clock_behind" in report.line()
        assert report.checks[0].hint


class TestReport:
    def test_an_exception_in_a_check_is_unknown_and_the_others_go_on(self, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(subject: object) -> None:
            raise ZeroDivisionError("a\nb | c")

        monkeypatch.setitem(health._CHECKS, "disk", broken)
        ground.health = FAST
        report = ground.report()
        assert states(report) == {**dict.fromkeys(FAST.checks, "OK"), "disk": "UNKNOWN"}
        assert report.status is Status.UNKNOWN
        assert report.line().splitlines() == [report.line()]

    def test_may_not_look_is_unknown(self, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(state_reader.os, "access", lambda path, mode: False)
        ground.health = HealthSettings(checks=("corrections",))
        report = ground.report()
        assert states(report) == {"corrections": "UNKNOWN"}
        assert "Permission denied" in report.line()

    def test_json_says_the_same(self, ground: Ground) -> None:
        ground.health = FAST
        report = ground.report()
        said = json.loads(json.dumps(report.as_json(), allow_nan=False))
        assert [(check["name"], check["status"]) for check in said["checks"]] == list(states(report).items())
        disk = next(check for check in said["checks"] if check["name"] == "disk")
        assert disk["measures"][0]["warning"] == "104857600:"
        assert disk["measures"][0]["value"] > 0

    def test_nothing_checked_is_unknown(self) -> None:
        assert HealthReport((), {}, 0.0).status is Status.UNKNOWN


class TestOfARunningAgent:
    def test_it_is_ok_and_stays_usable(self, agent: EdgeAgent) -> None:
        done = agent.correct(PHOTOS[0], TRUTHS[0])
        report = agent.health(replace(ROOMY, deep=True))
        assert isinstance(report, HealthReport)
        assert report.status is Status.OK, report.line()
        assert agent.undo(done.id).active == 0
        assert agent.health(FAST).status is Status.OK

    def test_another_artifact_on_the_disk_is_seen(self, tmp_path: Path) -> None:
        folder = shutil.copytree(ARTIFACT, tmp_path / "artifact")
        agent = EdgeAgent.open(folder, tmp_path / "state")
        resigned(folder, "labels.txt", (folder / "labels.txt").read_bytes().replace(b"frog", b"toad"))
        report = agent.health(FAST)
        assert red(report) == {"artifact"}
        assert "another artifact lies there now" in report.line()

    def test_thresholds_come_from_the_environment(self, agent: EdgeAgent, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("EDGE_AGENT_HEALTH_CHECKS", "disk")
        monkeypatch.setenv("EDGE_AGENT_HEALTH_WARNING", "disk_free=999999999999999999:")
        assert states(agent.health()) == {"disk": "WARNING"}
