from __future__ import annotations

import json
import os
import shutil
import stat
from datetime import datetime, timezone
from pathlib import Path

import pytest
from on_device import ARTIFACT

from edge_agent.artifact import Artifact
from edge_agent.errors import ArtifactError, InputError, UsageError
from edge_agent.signature import verify_signature
from export.cli import run
from export.signing import keygen, sign

pytest.importorskip("cryptography")
NOW = datetime(2026, 1, 31, 23, 59, 58, tzinfo=timezone.utc)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(ARTIFACT, tmp_path / "artifact")


def test_private_key_is_its_owners_alone(tmp_path: Path) -> None:
    made = keygen(tmp_path / "release")
    assert (made.private.name, made.public.name) == ("release", "release.pub")
    assert stat.S_IMODE(made.private.stat().st_mode) == 0o600
    assert b"PRIVATE" in made.private.read_bytes()
    assert b"PRIVATE" not in made.public.read_bytes()
    assert sorted(path.name for path in tmp_path.glob("*release*")) == ["release", "release.pub"]


def test_no_key_is_overwritten(tmp_path: Path) -> None:
    before = keygen(tmp_path / "key").private.read_bytes()
    with pytest.raises(UsageError, match="exists"):
        keygen(tmp_path / "key")
    (tmp_path / "other.pub").write_bytes(b"")
    with pytest.raises(UsageError, match=r"other\.pub exists"):
        keygen(tmp_path / "other")
    assert (tmp_path / "key").read_bytes() == before
    with pytest.raises(InputError, match="cannot be written"):
        keygen(tmp_path / "none" / "key")


def test_signature_fits_and_leaves_the_artifact_as_it_is(folder: Path, tmp_path: Path) -> None:
    made = keygen(tmp_path / "key")
    before = Artifact.open(folder).digest
    done = sign(folder, made.private, None, NOW)
    assert (done.version, done.key, done.artifact_sha256) == (20260131235958, made.key, before)
    opened = Artifact.open(folder)
    assert opened.digest == before
    assert verify_signature(opened.manifest.to_bytes(), opened.signature, made.public).version == done.version
    assert sign(folder, made.private, 7, NOW).version == 7
    signature = Artifact.open(folder).signature
    assert signature is not None and signature.version == 7


def test_what_cannot_be_signed(folder: Path, tmp_path: Path) -> None:
    made = keygen(tmp_path / "key")
    for key, version, found in (
        (made.public, 1, "cannot be read"), (tmp_path / "none", 1, "cannot be read"),
        (made.private, 0, "expected 1"), (made.private, 10**18, "expected 1"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=found):
            sign(folder, key, version, NOW)
    (folder / "labels.txt").write_bytes(b"changed")
    with pytest.raises(ArtifactError, match=r"labels\.txt"):
        sign(folder, made.private, 1, NOW)
    assert not os.path.exists(folder / "manifest.sig")


def test_commands(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = str(tmp_path / "key")
    assert run(["keygen", key, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert run(["sign", "--key", key, "--version", "3", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "file": str(folder / "manifest.sig"), "key": made["key"], "version": 3, "artifact_sha256": Artifact.open(folder).digest,
    }  # fmt: skip
    assert run(["sign", "--key", key, "--version", "3", str(folder)]) == 0
    assert f"signed by key {made['key']}, version 3" in capsys.readouterr().out
    assert run(["keygen", key]) == 64
    assert "exists" in capsys.readouterr().err
