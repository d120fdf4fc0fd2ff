from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from edge_agent.errors import ArtifactError, UsageError
from export import writer
from export.writer import MANIFEST, check_output, entries, staged

OURS = '{"format": "onnx-edge-agent"}'


def artifact(path: Path, content: str = "old") -> Path:
    path.mkdir(parents=True)
    (path / MANIFEST).write_text(OURS)
    (path / "file").write_text(content)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "home")


def fill(folder: Path, content: str = "new") -> None:
    (folder / "sub").mkdir()
    (folder / "sub/part").write_text(content)
    (folder / "file").write_text(content)
    (folder / MANIFEST).write_text(OURS)


def test_new_output_appears_whole(tmp_path: Path) -> None:
    output = tmp_path / "deep" / "er" / "out"
    with staged(output, False) as folder:
        assert not output.exists() and folder.parent == output.parent
        fill(folder)
    assert names(output) == ["file", MANIFEST, "sub"] and names(output.parent) == ["out"]


def test_permissions_are_the_users_own(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with staged(tmp_path / "out", False) as folder:
            fill(folder)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o750
    assert stat.S_IMODE((tmp_path / "out/sub/part").stat().st_mode) == 0o640


@pytest.mark.parametrize("failure", [ArtifactError("parity"), KeyboardInterrupt(), ZeroDivisionError()], ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("exists", [False, True], ids=["new", "over"])
def test_failure_leaves_everything_as_it_was(failure: BaseException, exists: bool, tmp_path: Path) -> None:
    if exists:
        artifact(tmp_path / "out")
    with pytest.raises(type(failure)), staged(tmp_path / "out", True) as folder:
        fill(folder)
        raise failure
    assert names(tmp_path) == (["out"] if exists else [])
    assert not exists or (tmp_path / "out/file").read_text() == "old"


def test_overwriting_replaces_everything(tmp_path: Path) -> None:
    artifact(tmp_path / "out")
    (tmp_path / "out/leftover").write_text("x")
    with staged(tmp_path / "out", True) as folder:
        fill(folder)
    assert names(tmp_path / "out") == ["file", MANIFEST, "sub"] and names(tmp_path) == ["out"]


def test_what_is_never_replaced(tmp_path: Path) -> None:
    artifact(tmp_path / "mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text(OURS)
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name, content in (("foreign", '{"format": "other"}'), ("list", "[]"), ("text", "no json"), ("binary", "\udcff")):
        (tmp_path / name).mkdir()
        (tmp_path / name / MANIFEST).write_bytes(content.encode("utf-8", "surrogateescape"))
    for name in ("empty", "file", "link", "dangling", "foreign", "list", "text", "binary"):
        with pytest.raises(UsageError, match=f"{name} exists and is no artifact"):
            check_output(tmp_path / name, overwrite=True)
    with pytest.raises(UsageError, match="holds an artifact already; hint: give --overwrite"):
        check_output(tmp_path / "mine", overwrite=False)
    check_output(tmp_path / "mine", overwrite=True)


def test_output_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArtifactError, match="is not a writable directory"):
        check_output(tmp_path / "file" / "out", overwrite=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_read_only_folder(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(ArtifactError, match="locked is not a writable directory"):
        check_output(tmp_path / "locked" / "out", overwrite=False)


def test_output_that_appears_meanwhile_is_not_touched(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists and is no artifact"), staged(tmp_path / "out", True) as folder:
        fill(folder)
        (tmp_path / "out").mkdir()
        (tmp_path / "out/thesis.txt").write_text("years of work")
    assert names(tmp_path) == ["out"] and names(tmp_path / "out") == ["thesis.txt"]


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(writer, "_synchronise", full)
    artifact(tmp_path / "out")
    with pytest.raises(ArtifactError, match=r"out cannot be written: No space left on device"), staged(tmp_path / "out", True) as folder:
        fill(folder)
    assert names(tmp_path) == ["out"] and (tmp_path / "out/file").read_text() == "old"


def test_folder_that_refuses_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> str:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(writer.tempfile, "mkdtemp", refuse)
    with pytest.raises(ArtifactError, match="Read-only file system"), staged(tmp_path / "out", False):
        pass


def test_failed_rename_puts_the_old_one_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact(tmp_path / "out")
    rename = Path.rename

    def once(self: Path, target: Path) -> Path:
        if self.suffix == ".part":
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", once)
    with pytest.raises(ArtifactError, match="Input/output error"), staged(tmp_path / "out", True) as folder:
        fill(folder)
    assert names(tmp_path) == ["out"] and (tmp_path / "out/file").read_text() == "old"


def test_everything_is_synchronised_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    synchronise = writer._synchronise

    def note(path: Path) -> None:
        order.append(f"{path.name if not path.name.endswith('.part') else 'folder'}{' after' if (tmp_path / 'out').exists() else ''}")
        synchronise(path)

    monkeypatch.setattr(writer, "_synchronise", note)
    with staged(tmp_path / "out", False) as folder:
        fill(folder)
    assert set(order[:-1]) == {"folder", "file", MANIFEST, "sub", "part"}
    assert order[-1] == f"{tmp_path.name} after", "the folder around it comes last: then the name is durable"


def test_entries_list_all_but_the_manifest(tmp_path: Path) -> None:
    fill(tmp_path, "hello")
    found = entries(tmp_path)
    assert list(found) == ["file", "sub/part"]
    assert found["sub/part"].bytes == 5
    assert found["sub/part"].sha256 == "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
