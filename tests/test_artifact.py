from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_artifact import LABELS, fake_arrays, fake_files, fake_manifest, write_artifact, write_fake_artifact
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from edge_agent import artifact as artifact_module
from edge_agent.artifact import Artifact, Statistics, label_fault, parse_labels
from edge_agent.errors import ArtifactError
from edge_agent.signature import Signature

EVERY_FILE = [*fake_files(), "manifest.json"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_fake_artifact(tmp_path / "artifact")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For laws, which put back what they change."""
    return write_fake_artifact(tmp_path_factory.mktemp("shared") / "artifact")


def refused(path: str | Path) -> str:
    with pytest.raises(ArtifactError) as caught:
        Artifact.open(path)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    return str(caught.value)


# A sound artifact


def test_sound_artifact_opens(folder: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    opened = Artifact.open(folder)
    assert opened.path == folder
    assert opened.manifest == fake_manifest()
    assert opened.digest == hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    assert opened.labels == LABELS
    for name, data in fake_files().items():
        assert opened.read(name) == data
    for name, array in fake_arrays().items():
        kept = getattr(opened.statistics, name)
        assert kept.dtype == (np.int32 if name == "sentinel_labels" else np.float32)
        assert np.array_equal(kept, array)
        assert not kept.flags.writeable
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before


def test_path_may_be_text_relative_or_a_link(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    (folder.parent / "current").symlink_to(folder)
    assert Artifact.open(str(folder)).digest == Artifact.open("artifact").digest == Artifact.open("current").digest


def test_optional_file_may_be_there(tmp_path: Path) -> None:
    files = {**fake_files(), "last_layer.safetensors": save({"weight": np.zeros((3, 5), np.float32)})}
    opened = Artifact.open(write_artifact(tmp_path / "a", files, fake_manifest(files).to_bytes()))
    assert opened.read("last_layer.safetensors") == files["last_layer.safetensors"]


# Damage: each is refused, and the file is named


@given(st.data())
def test_any_flipped_bit_is_refused(shared: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(EVERY_FILE))
    path = shared / name
    sound = path.read_bytes()
    position, bit = data.draw(st.integers(0, len(sound) - 1)), data.draw(st.integers(0, 7))
    digest = Artifact.open(shared).digest
    path.write_bytes(sound[:position] + bytes([sound[position] ^ 1 << bit]) + sound[position + 1 :])
    try:
        opened = Artifact.open(shared)
    except ArtifactError as error:
        assert name in str(error)
    else:
        assert name == "manifest.json"
        assert opened.manifest == fake_manifest()
        assert opened.digest != digest
    finally:
        path.write_bytes(sound)


@given(st.data())
def test_any_truncation_is_refused(shared: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(EVERY_FILE))
    path = shared / name
    sound = path.read_bytes()
    path.write_bytes(sound[: data.draw(st.integers(0, len(sound) - 2))])  # - 2: the manifest's last byte is white space
    try:
        assert name in refused(shared)
    finally:
        path.write_bytes(sound)


def removed(path: Path) -> None:
    path.unlink()


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def linked(path: Path) -> None:
    shutil.move(path, path.parents[2] / "elsewhere")
    path.symlink_to(path.parents[2] / "elsewhere")


def broken_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [removed, longer, linked, broken_link, pipe, directory], ids=lambda d: d.__name__)
@pytest.mark.parametrize("name", EVERY_FILE)
def test_damaged_file_is_named(folder: Path, name: str, damage: Callable[[Path], None]) -> None:
    damage(folder / name)
    assert name in refused(folder)


def test_message_says_in_what_way_a_file_is_another(folder: Path) -> None:
    path, sound = folder / "backbone.onnx", (folder / "backbone.onnx").read_bytes()
    entry = fake_manifest().files["backbone.onnx"]
    path.write_bytes(sound + b"x")
    assert refused(folder).partition(";")[0] == f"{path} has more bytes, the manifest says {len(sound)}"
    path.write_bytes(sound[:-1])
    assert refused(folder).partition(";")[0] == f"{path} has {len(sound) - 1} bytes, the manifest says {len(sound)}"
    path.write_bytes(other := sound[:-1] + b"X")
    found = hashlib.sha256(other).hexdigest()[:12]
    assert refused(folder).partition(";")[0] == f"{path} was changed: its SHA-256 is {found}…, the manifest says {entry.sha256[:12]}…"
    pipe(path)
    assert refused(folder).partition(";")[0] == "backbone.onnx: is not a regular file"


@pytest.mark.parametrize("name", ["backbone.onnx", "labels.txt"])
def test_more_after_whole_pieces_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that ends with a piece, and a byte more: the digest of what the manifest counts would fit."""
    monkeypatch.setattr(artifact_module, "_PIECE_BYTES", 4)
    files = {**fake_files(), "backbone.onnx": b"twelve bytes"}
    path = write_artifact(tmp_path / "a", files, fake_manifest(files).to_bytes())
    Artifact.open(path)
    longer(path / name)
    assert "has more bytes" in refused(path)


def test_long_name_of_a_stranger_is_cut(folder: Path) -> None:
    (folder / ("x" * 100)).write_bytes(b"")
    assert refused(folder).partition(";")[0] == f"{folder}: the file {'x' * 80!r} is not listed or is a link"


@pytest.mark.parametrize(
    "name", ["notes.txt", ".DS_Store", "golden/99.png", "other/deep/file", "training/checkpoint.bak", "labels.txt~", "train", "golden/0"]
)
def test_extra_file_is_named(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"")
    assert f"'{name.removesuffix('/deep/file')}'" in refused(folder)


def test_extra_folder_link_and_pipe_are_named(folder: Path) -> None:
    for name, make in (("empty", Path.mkdir), ("link", lambda p: p.symlink_to(folder / "labels.txt")), ("pipe", os.mkfifo)):
        make(folder / name)
        assert name in refused(folder)
        (folder / name).rmdir() if name == "empty" else (folder / name).unlink()
    Artifact.open(folder)


def test_linked_folder_is_named_though_its_files_are_sound(folder: Path) -> None:
    shutil.move(folder / "training", folder.parent / "training")
    (folder / "training").symlink_to(folder.parent / "training")
    assert "'training'" in refused(folder)


def test_name_that_is_not_text_is_named(folder: Path) -> None:
    try:
        (folder / os.fsdecode(b"\xff.onnx")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    assert r"\udcff.onnx" in refused(folder)


def test_swapped_files_are_refused(folder: Path) -> None:
    first, second = folder / "golden/00.png", folder / "golden/01.png"
    first_bytes, second_bytes = first.read_bytes(), second.read_bytes()
    first.write_bytes(second_bytes)
    second.write_bytes(first_bytes)
    assert "golden/0" in refused(folder)


def test_labels_that_do_not_match_the_classes(tmp_path: Path) -> None:
    files = {**fake_files(), "labels.txt": b"cat\ndog\n"}
    path = write_artifact(tmp_path / "a", files, fake_manifest(files).to_bytes())
    assert "labels.txt: 2 labels for 3 classes" in refused(path)


@pytest.mark.parametrize("name, most", [("labels.txt", 16 * 1024**2), ("statistics.safetensors", 512 * 1024**2)])
def test_file_that_is_kept_in_memory_has_a_limit(folder: Path, name: str, most: int) -> None:
    for size, found in ((most + 1, f"{name}: {most + 1} bytes, expected at most {most}"), (most, f"the manifest says {most}")):
        manifest = fake_manifest()
        entry = dataclasses.replace(manifest.files[name], bytes=size)
        (folder / "manifest.json").write_bytes(dataclasses.replace(manifest, files={**manifest.files, name: entry}).to_bytes())
        assert found in refused(folder)


def test_limits_of_manifest_and_signature(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b" " * 70_000)
    assert "65537 bytes, expected at most 65536" in refused(folder), "no more is read than shows that it is too long"


def test_other_bytes_of_the_same_manifest_are_refused(folder: Path) -> None:
    data = (folder / "manifest.json").read_bytes()
    for other in (data + b"\n", data.removesuffix(b"\n"), data.replace(b": ", b":", 1)):
        (folder / "manifest.json").write_bytes(other)
        assert "manifest.json: is not in its canonical form" in refused(folder)


def test_file_of_many_pieces(tmp_path: Path) -> None:
    files = {**fake_files(), "backbone.onnx": bytes(range(256)) * 12_289}  # three pieces of a mebibyte and a little more
    path = write_artifact(tmp_path / "a", files, fake_manifest(files).to_bytes())
    assert Artifact.open(path).read("backbone.onnx") == files["backbone.onnx"]
    for damage in (files["backbone.onnx"] + b"x", files["backbone.onnx"][:-1], files["backbone.onnx"][:-1] + b"x"):
        (path / "backbone.onnx").write_bytes(damage)
        assert "backbone.onnx" in refused(path)


# The signature beside the manifest


SIGNATURE = Signature("0123456789abcdef", 7, bytes(64))


def test_signature_is_read_and_changes_nothing_else(folder: Path) -> None:
    before = Artifact.open(folder)
    assert before.signature is None
    (folder / "manifest.sig").write_bytes(SIGNATURE.to_bytes())
    after = Artifact.open(folder)
    assert after.signature == SIGNATURE
    assert after.digest == before.digest


@pytest.mark.parametrize("damage", [longer, linked, broken_link, pipe, directory], ids=lambda d: d.__name__)
def test_damaged_signature_is_named(folder: Path, damage: Callable[[Path], None]) -> None:
    (folder / "manifest.sig").write_bytes(SIGNATURE.to_bytes())
    damage(folder / "manifest.sig")
    assert "manifest.sig" in refused(folder)


def test_signature_elsewhere_is_a_stranger(folder: Path) -> None:
    (folder / "golden" / "manifest.sig").write_bytes(SIGNATURE.to_bytes())
    assert "'golden/manifest.sig' is not listed" in refused(folder)


# What is no artifact


def test_what_is_no_artifact(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_bytes(b"")
    assert "no manifest.json" in refused(tmp_path / "empty")
    assert "no such directory" in refused(tmp_path / "missing")
    assert "no such directory" in refused(tmp_path / "file")
    assert "no such directory" in refused("a\0b")
    assert "no such directory" in refused("a" * 5000)


def test_unreadable_manifest_is_our_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Any, flags: int) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(artifact_module.os, "open", refuse)
    assert "manifest.json cannot be read: Permission denied" in refused(folder)


# Reading again


def test_read_of_an_unlisted_file(folder: Path) -> None:
    opened = Artifact.open(folder)
    for name in ("manifest.json", "last_layer.safetensors", "../labels.txt", ""):
        with pytest.raises(ArtifactError, match="has no"):
            opened.read(name)


@pytest.mark.parametrize("damage", [removed, longer, linked, pipe, directory], ids=lambda d: d.__name__)
def test_read_verifies_again(folder: Path, damage: Callable[[Path], None]) -> None:
    opened = Artifact.open(folder)
    damage(folder / "backbone.onnx")
    with pytest.raises(ArtifactError, match=r"backbone\.onnx"):
        opened.read("backbone.onnx")


def test_read_sees_a_changed_byte(folder: Path) -> None:
    opened = Artifact.open(folder)
    (folder / "backbone.onnx").write_bytes(b"the backb0ne")
    with pytest.raises(ArtifactError, match=r"backbone\.onnx was changed"):
        opened.read("backbone.onnx")


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors in /proc")
def test_no_descriptor_is_left_open(folder: Path) -> None:
    opened = Artifact.open(folder)
    before = len(os.listdir("/proc/self/fd"))
    opened.read("labels.txt")
    directory(folder / "backbone.onnx")
    for _ in range(5):
        refused(folder)
        with pytest.raises(ArtifactError):
            opened.read("backbone.onnx")
    assert len(os.listdir("/proc/self/fd")) == before


# Statistics


def statistics(arrays: dict[str, Any]) -> Statistics:
    return Statistics.from_bytes(save(arrays), fake_manifest())


@pytest.mark.parametrize("name", fake_arrays())
def test_array_that_does_not_fit_is_named(name: str) -> None:
    arrays = fake_arrays()
    array = arrays[name]
    wrong = [
        array[:-1].copy(),
        array[None],
        array.astype(np.int64 if name == "sentinel_labels" else np.float64),
        np.zeros((0, *array.shape[1:]), array.dtype),
    ]
    if name == "sentinel_labels":
        wrong += [array - 1, array + 1, array.astype(np.float32)]
    else:
        wrong += [np.full_like(array, np.nan), np.full_like(array, np.inf), array.astype(np.int32)]
    for value in wrong:
        with pytest.raises(ArtifactError, match=rf"statistics\.safetensors: {name}"):
            statistics({**arrays, name: value})


def test_labels_of_no_class_are_named() -> None:
    with pytest.raises(ArtifactError, match=r"sentinel_labels holds an index outside 0…2"):
        statistics({**fake_arrays(), "sentinel_labels": fake_arrays()["sentinel_labels"] + 1})


def test_lost_and_extra_arrays_are_refused() -> None:
    arrays = fake_arrays()
    with pytest.raises(ArtifactError, match="expected"):
        statistics({**arrays, "extra": np.zeros(1, np.float32)})
    for name in arrays:
        with pytest.raises(ArtifactError, match="expected"):
            statistics({key: value for key, value in arrays.items() if key != name})


def test_either_float_is_taken() -> None:
    arrays = {name: a.astype(np.float16) if a.dtype == np.float32 else a for name, a in fake_arrays().items()}
    assert statistics(arrays).leak.dtype == np.float32


@pytest.mark.parametrize("kind", ["BF16", "F8_E4M3", "BOOL", "NONSENSE"])
def test_foreign_types_are_refused(kind: str) -> None:
    width = {"BF16": 2, "F8_E4M3": 1, "BOOL": 1, "NONSENSE": 4}[kind]
    header = f'{{"leak":{{"dtype":"{kind}","shape":[29],"data_offsets":[0,{29 * width}]}}}}'.encode()
    with pytest.raises(ArtifactError, match=r"statistics\.safetensors"):
        Statistics.from_bytes(len(header).to_bytes(8, "little") + header + bytes(29 * width), fake_manifest())


@given(st.data())
def test_damaged_statistics_raise_nothing_but_our_error(data: st.DataObject) -> None:
    sound = bytearray(save(fake_arrays()))
    for _ in range(data.draw(st.integers(1, 4))):
        sound[data.draw(st.integers(0, 600))] = data.draw(st.integers(0, 255))
    try:
        Statistics.from_bytes(bytes(sound[: data.draw(st.integers(0, len(sound)))]), fake_manifest())
    except ArtifactError as error:
        assert "statistics.safetensors" in str(error)


# Labels


label_texts = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=9).filter(lambda text: label_fault(text) is None)


@given(st.lists(label_texts, min_size=1, max_size=8, unique=True))
def test_written_labels_are_read_again(labels: list[str]) -> None:
    data = "".join(f"{label}\n" for label in labels).encode()
    assert parse_labels(data) == tuple(labels)
    assert parse_labels(data.removesuffix(b"\n")) == tuple(labels)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "line 1 is empty"),
        (b"\n", "line 1 is empty"),
        (b"cat\n\ndog\n", "line 2 is empty"),
        (b"cat\ndog\n\n", "line 3 is empty"),
        (b"cat\r\ndog\r\n", "line 1 begins or ends"),
        (b"cat\ndog\ncat\n", "two lines"),
        (b"\xff\n", "not UTF-8"),
        (b"cat\nd\0g\n", "line 2 holds a control"),
        (b"x" * 129, "line 1 has 129"),
    ],
)
def test_labels_that_break_a_rule(data: bytes, fault: str) -> None:
    with pytest.raises(ArtifactError, match=fault):
        parse_labels(data)


@given(st.binary(max_size=60))
def test_any_bytes_are_labels_or_our_error(data: bytes) -> None:
    try:
        labels = parse_labels(data)
    except ArtifactError:
        return
    assert labels
    assert all(label_fault(label) is None for label in labels)


# What is promised of the data


def test_opened_artifact_is_frozen(folder: Path) -> None:
    opened = Artifact.open(folder)
    with pytest.raises(dataclasses.FrozenInstanceError):
        opened.digest = ""  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        opened.statistics.leak[0] = 1


@pytest.fixture(autouse=True)
def _shared_stays_sound(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "shared" in request.fixturenames:
        Artifact.open(request.getfixturevalue("shared"))
