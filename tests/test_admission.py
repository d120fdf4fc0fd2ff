"""What may be used here: the first load in a child process, once for each artifact, and signatures with a trusted key."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from on_device import ARTIFACT, PHOTOS, TRUTHS, files_below, in_fresh_process
from safetensors.numpy import load, save

from edge_agent import admission, trial_child
from edge_agent.admission import admit
from edge_agent.agent import EdgeAgent
from edge_agent.artifact import Artifact, FileEntry
from edge_agent.artifact_record import RECORD_NAME, read_record
from edge_agent.errors import ArtifactError, RuntimeUnavailable, StateError, UsageError
from edge_agent.health import examine
from edge_agent.health_settings import HealthSettings
from edge_agent.manifest import Manifest
from edge_agent.nagios import Status
from edge_agent.settings import Settings
from edge_agent.trial_limits import TrialLimits

real = pytest.mark.real_trial
Changed = Callable[[Mapping[str, bytes]], Path]


def sealed(folder: Path, files: Mapping[str, bytes], **facts: Any) -> Path:
    """Other files in an artifact, and a manifest that fits them."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    manifest = Manifest.from_bytes((folder / "manifest.json").read_bytes())
    entries = {name: FileEntry(len(content), hashlib.sha256(content).hexdigest()) for name, content in files.items()}
    (folder / "manifest.json").write_bytes(replace(manifest, files={**manifest.files, **entries}, **facts).to_bytes())
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(ARTIFACT, tmp_path / "artifact")


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """One entry for each trial; none is made."""
    made: list[bool] = []
    monkeypatch.setattr(admission, "_try", lambda artifact, settings, with_golden: made.append(with_golden))
    return made


def refused(folder: Path, state: Path, settings: Settings | None = None) -> str:
    with pytest.raises(ArtifactError) as caught:
        EdgeAgent.open(folder, state, settings=settings)
    assert caught.value.hint
    return str(caught.value)


# The first load


@real
def test_first_load_is_made_once_for_each_state(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    EdgeAgent.open(ARTIFACT, state).close()
    assert list(files_below(state)) == [RECORD_NAME]
    before = files_below(state)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(admission, "_try", lambda *_: pytest.fail("tried again"))
        EdgeAgent.open(ARTIFACT, state).close()
    assert files_below(state) == before


def test_no_state_is_created_for_the_record(tmp_path: Path, trials: list[bool]) -> None:
    EdgeAgent.open(ARTIFACT, tmp_path / "state").close()
    assert not (tmp_path / "state").exists()
    assert trials == [True]


def test_first_correction_brings_the_record_into_its_state(tmp_path: Path, trials: list[bool]) -> None:
    for number in range(2):
        agent = EdgeAgent.open(ARTIFACT, tmp_path / "state")
        agent.correct(PHOTOS[number], TRUTHS[number])
        agent.close()
    assert trials == [True]


def test_default_states_remember_beside_each_other(tmp_path: Path, trials: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    for _ in range(2):
        EdgeAgent.open(ARTIFACT).close()
    assert trials == [True]
    assert [path.name for path in (tmp_path / "home" / "edge-agent").iterdir()] == [RECORD_NAME]


def test_another_runtime_is_another_trial(tmp_path: Path, trials: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "state").mkdir()
    EdgeAgent.open(ARTIFACT, tmp_path / "state").close()
    monkeypatch.setattr(admission, "runtime_stamp", lambda: "onnxruntime-9.9.9")
    for _ in range(2):
        EdgeAgent.open(ARTIFACT, tmp_path / "state").close()
    assert trials == [True, True]


def test_health_tries_and_writes_nothing(tmp_path: Path, trials: list[bool]) -> None:
    (tmp_path / "state").mkdir()
    settings = HealthSettings(checks=("artifact",))
    for _ in range(2):
        assert examine(ARTIFACT, tmp_path / "state", Settings(), settings).status is Status.OK
    assert trials == [False, False]
    assert files_below(tmp_path / "state") == {}
    EdgeAgent.open(ARTIFACT, tmp_path / "state").close()
    examine(ARTIFACT, tmp_path / "state", Settings(), settings)
    assert trials == [False, False, True], "what the agent remembers is not tried again"


def test_health_in_a_process_of_its_own_needs_no_second_one(folder: Path, tmp_path: Path, trials: list[bool]) -> None:
    """`edge-agent health` has one that may die; what it loads is looked through all the same."""
    artifact_alone = HealthSettings(checks=("artifact",))
    code = """
import sys
from edge_agent.health import examine
from edge_agent.health_settings import HealthSettings
from edge_agent.settings import Settings
import edge_agent.admission as admission
admission._try = None
report = examine(sys.argv[1], sys.argv[2], Settings(), HealthSettings(checks=("artifact", "runtime", "golden")), isolated=True)
print([check.status.name for check in report.checks], report.checks[0].detail)
import resource
assert resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
"""
    assert in_fresh_process(code, str(ARTIFACT), str(tmp_path / "state")).startswith("['OK', 'OK', 'OK']")
    sealed(folder, {"portable/step.onnx": b"no graph"})
    report = examine(folder, tmp_path / "state", Settings(), artifact_alone, isolated=True)
    assert report.status is Status.CRITICAL
    assert "portable/step.onnx" in report.checks[0].detail
    assert trials == []


def test_damaged_record_costs_a_trial_and_stays(tmp_path: Path, trials: list[bool]) -> None:
    (tmp_path / RECORD_NAME).write_bytes(b"damaged")
    EdgeAgent.open(ARTIFACT, tmp_path).close()
    assert (tmp_path / RECORD_NAME).read_bytes() == b"damaged"
    assert trials == [True]
    report = examine(ARTIFACT, tmp_path, Settings(), HealthSettings(checks=("artifact",)))
    assert report.checks[0].status is Status.WARNING
    assert RECORD_NAME in report.checks[0].detail


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_state_is_served(tmp_path: Path, trials: list[bool]) -> None:
    (tmp_path / "state").mkdir(mode=0o500)
    EdgeAgent.open(ARTIFACT, tmp_path / "state").close()
    assert trials == [True]


@real
def test_golden_samples_that_do_not_match(folder: Path, tmp_path: Path) -> None:
    arrays = load((folder / "statistics.safetensors").read_bytes())
    arrays["golden_logits"] = arrays["golden_logits"] + np.float32(0.1)
    sealed(folder, {"statistics.safetensors": save(arrays)})
    assert "the golden samples' logits differ by 0.1" in refused(folder, tmp_path / "state")
    assert not (tmp_path / "state").exists()


@real
def test_harm_in_the_child_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = {
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)": "was killed by SIGSEGV; allowed were 2 s and",
        "while True: pass": "took longer than 2 s",
        "import os; os._exit(3)": "ended with 3",
    }
    for code, found in ends.items():
        monkeypatch.setattr(trial_child, "_START", code)
        assert f"child process, which {found}" in refused(ARTIFACT, tmp_path / "state", Settings(trial_timeout_s=2))


@real
def test_memory_of_the_child_has_a_limit(tmp_path: Path) -> None:
    code = """
import json, sys
given = json.load(sys.stdin)
sys.path[:] = given["path"]
from edge_agent import trial_child
trial_child._verdict = lambda *_: bytearray(4 * 2**30) and {"fault": ""}
trial_child.main(given)
"""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial_child, "_START", code)
        assert "needs more memory than the" in refused(ARTIFACT, tmp_path / "state", Settings(trial_memory_bytes=2**29))


@real
def test_child_opens_what_its_parent_opened(folder: Path, tmp_path: Path) -> None:
    opened = Artifact.open(folder)
    sealed(folder, {"README.md": b"another text"})
    with pytest.raises(ArtifactError, match="was changed while it was opened"):
        admit(opened, tmp_path / "state", Settings())


def test_without_a_python_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = TrialLimits(10, 2**30)
    for executable in ("", str(tmp_path / "none")):
        monkeypatch.setattr(trial_child.sys, "executable", executable)
        with pytest.raises(RuntimeUnavailable, match="no child process") as caught:
            trial_child.try_in_child(ARTIFACT, "", True, limits)
        assert "trial_timeout_s" in caught.value.hint


@real
def test_trial_without_a_child_is_the_same_trial(folder: Path, tmp_path: Path) -> None:
    settings = Settings(trial_timeout_s=0)
    EdgeAgent.open(folder, tmp_path / "state", settings=settings).close()
    sealed(folder, {"portable/step.onnx": (folder / "training" / "eval_model.onnx").read_bytes()})
    assert "portable" in refused(folder, tmp_path / "state", settings) or "step" in refused(folder, tmp_path / "state", settings)


# Signatures


cryptography = pytest.importorskip("cryptography")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    from export.signing import keygen

    return keygen(tmp_path / "key").private


def signed(folder: Path, key: Path, version: int) -> None:
    from export.signing import sign

    sign(folder, key, version, datetime.now(timezone.utc))


def trusting(key: Path) -> Settings:
    return Settings(trusted_key=f"{key}.pub")


def test_signed_artifact_is_used_and_said(folder: Path, keys: Path, tmp_path: Path, trials: list[bool]) -> None:
    state = tmp_path / "state"
    assert EdgeAgent.open(folder, state).info().signature == "unsigned"
    assert "unsigned, and a trusted key is set" in refused(folder, state, trusting(keys))
    signed(folder, keys, 5)
    assert "version 5, not checked" in EdgeAgent.open(folder, state).info().signature
    assert "version 5, checked" in EdgeAgent.open(folder, state, settings=trusting(keys)).info().signature
    assert read_record(state).version == 5
    report = examine(folder, state, trusting(keys), HealthSettings(checks=("artifact",)))
    assert "version 5, checked" in report.checks[0].detail


def test_older_artifact_is_refused(folder: Path, keys: Path, tmp_path: Path, trials: list[bool]) -> None:
    state, old = tmp_path / "state", shutil.copytree(folder, tmp_path / "old")
    sealed(old, {"README.md": b"the old one"})
    signed(folder, keys, 5)
    signed(old, keys, 4)
    EdgeAgent.open(old, state, settings=trusting(keys)).close()
    EdgeAgent.open(folder, state, settings=trusting(keys)).close()
    before = files_below(state)
    assert "the artifact is older: it has version 4, and version 5 was in use here" in refused(old, state, trusting(keys))
    signed(old, keys, 5)
    assert "has version 5 as another one" in refused(old, state, trusting(keys))
    report = examine(old, state, trusting(keys), HealthSettings(checks=("artifact",)))
    assert report.status is Status.CRITICAL
    assert files_below(state) == before
    EdgeAgent.open(folder, state, settings=trusting(keys)).close()


def test_changed_or_strange_signature_is_refused(folder: Path, keys: Path, tmp_path: Path, trials: list[bool]) -> None:
    state = tmp_path / "state"
    signed(folder, keys, 5)
    sealed(folder, {"README.md": b"changed after it was signed"})
    assert "does not fit the artifact's manifest" in refused(folder, state, trusting(keys))
    (tmp_path / "other").mkdir()
    from export.signing import keygen

    signed(folder, keygen(tmp_path / "other" / "key").private, 6)
    assert "is signed by key" in refused(folder, state, trusting(keys))
    (folder / "manifest.sig").write_bytes(b"damaged")
    assert "manifest.sig is not a signature" in refused(folder, state)
    (folder / "manifest.sig").unlink()
    (folder / "manifest.sig").symlink_to(keys)
    assert "manifest.sig" in refused(folder, state)


def test_memory_of_versions_that_is_damaged_is_not_forgotten(folder: Path, keys: Path, tmp_path: Path, trials: list[bool]) -> None:
    signed(folder, keys, 5)
    (tmp_path / RECORD_NAME).write_bytes(b"damaged")
    with pytest.raises(StateError, match=RECORD_NAME):
        EdgeAgent.open(folder, tmp_path, settings=trusting(keys))


def test_trusted_key_that_is_not_there(tmp_path: Path, trials: list[bool]) -> None:
    with pytest.raises(UsageError, match="the trusted key"):
        EdgeAgent.open(ARTIFACT, tmp_path, settings=Settings(trusted_key=str(tmp_path / "none.pub")))


def test_migration_goes_through_the_gate(folder: Path, tmp_path: Path) -> None:
    from edge_agent.migrating import migrate_state

    agent = EdgeAgent.open(ARTIFACT, tmp_path / "state")
    agent.correct(PHOTOS[0], TRUTHS[0])
    agent.close()
    before = files_below(tmp_path / "state")
    arrays = load((folder / "statistics.safetensors").read_bytes())
    arrays["golden_logits"] = arrays["golden_logits"] + np.float32(0.1)
    sealed(folder, {"statistics.safetensors": save(arrays)})
    state, old, new = tmp_path / "state", Artifact.open(ARTIFACT), Artifact.open(folder)
    with pytest.raises(ArtifactError, match="golden"):
        migrate_state(old, new, state, state, Settings(), False, lambda done, total: None)
    assert files_below(state) == before


def test_command_line(folder: Path, keys: Path, tmp_path: Path) -> None:
    code = "import sys; from edge_agent.cli import run; sys.exit(run(sys.argv[1:]))"
    signed(folder, keys, 9)
    options = ["--artifact", str(folder), "--state", str(tmp_path / "state")]
    found = json.loads(in_fresh_process(code, *options, "--trusted-key", f"{keys}.pub", "info", "--json"))
    assert found["signature"].endswith("version 9, checked")
