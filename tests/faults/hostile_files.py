"""Hostile artifacts that are refused before any runtime sees them: the manifest, the files as they lie there, labels, statistics."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hostile_case import Case, with_entry, with_facts, with_file, with_value
from safetensors.numpy import load, save

SECRET = "../secret.txt"  # it lies beside the artifact
STATISTICS, LABELS, MANIFEST = "statistics.safetensors", "labels.txt", "manifest.json"
PICKLE = pickle.dumps({"weights": [1.0, 2.0]})


def written(name: str, content: bytes) -> Callable[[Path], object]:
    """A file as it is, behind the manifest's back."""

    def make(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    return make


def edited(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


def replaced(name: str, put: Callable[[Path], object]) -> Callable[[Path], None]:
    """Something that is no regular file in the place of one."""

    def make(folder: Path) -> None:
        (folder / name).unlink()
        put(folder / name)

    return make


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        short = Path(f"/tmp/hostile-{os.getpid()}")  # the name of a socket has at most 107 characters
        made.bind(str(short))
        shutil.move(short, path)


def swapped(folder: Path) -> None:
    first, second = folder / "golden/00.png", folder / "golden/01.png"
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)


def linked_folder(folder: Path) -> None:
    shutil.move(folder / "training", folder.parent / "training")
    (folder / "training").symlink_to(folder.parent / "training")


def repeated_key(folder: Path) -> None:
    path = folder / MANIFEST
    path.write_bytes(path.read_bytes().replace(b'  "classes"', b'  "classes": 3,\n  "classes"', 1))


def with_arrays(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def content(old: bytes) -> bytes:
        arrays = load(old)
        change(arrays)
        return save(arrays)

    return with_file(STATISTICS, content)


def filled(name: str, value: float) -> Callable[[Path], None]:
    return with_arrays(lambda arrays: arrays.update({name: np.full_like(arrays[name], value)}))


def hundred_gigabytes(old: bytes) -> bytes:
    header = json.dumps({"leak": {"dtype": "F32", "shape": [25_000, 1_000_000], "data_offsets": [0, 10**11]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(64)


def in_labels(line: bytes) -> Callable[[Path], None]:
    return with_file(LABELS, lambda old: old.replace(old.split(b"\n")[3], line, 1))


def first_digest(digest: str) -> Callable[[Path], None]:
    return with_facts(lambda facts: facts["files"][LABELS].update(sha256=digest))


NAME = "files has the name"
CASES = (
    Case("no-manifest", "The directory has no manifest.", "no manifest.json", lambda folder: (folder / MANIFEST).unlink()),
    Case("manifest-empty", "The manifest has 0 bytes.", "not JSON", written(MANIFEST, b"")),
    Case("manifest-pickle", "The manifest is a pickle.", "not JSON", written(MANIFEST, PICKLE)),
    Case("manifest-huge", "The manifest has a megabyte.", "expected at most 65536", written(MANIFEST, b" " * 2**20)),
    Case("manifest-deep", "The manifest is a list in a list, 30 000 deep.", "not JSON", written(MANIFEST, b"[" * 30_000)),
    Case("manifest-repeated-key", "A key stands there twice, and readers differ in which one they take.", "a key is repeated",
         repeated_key),
    Case("manifest-nan", "A number is NaN.", "not a number of JSON",
         edited(MANIFEST, lambda old: old.replace(b'"temperature": ', b'"temperature": NaN, "x": ', 1))),
    Case("manifest-infinite", "A number has 401 digits.", "not finite", with_value("temperature", 10**400)),
    Case("schema-2", "The schema is one of the future.", "schema 2", with_value("schema", 2)),
    Case("schema-text", "The schema is the text 1.", "schema '1'", with_value("schema", "1")),
    Case("schema-true", "The schema is true, which Python takes for 1.", "schema True", with_value("schema", True)),
    Case("format-foreign", "The manifest is of another format.", 'no "format"', with_value("format", "onnx")),
    Case("key-unknown", "A key that no reader knows.", "other keys: ['hook']", with_value("hook", "rm -rf /")),
    Case("key-missing", "A key is missing.", "other keys: ['parity']", with_facts(lambda facts: facts.pop("parity"))),
    Case("manifest-unsealed", "A number was changed and the seal was not.", "its own SHA-256 does not fit",
         edited(MANIFEST, lambda old: old.replace(b'"capacity": ', b'"capacity": 1', 1))),
    Case("manifest-reformatted", "The same content in other bytes, which is another digest.", "canonical",
         edited(MANIFEST, lambda old: old + b" ")),
    Case("manifest-link", "The manifest is a link.", "manifest.json", replaced(MANIFEST, lambda path: path.symlink_to(SECRET))),
    Case("manifest-fifo", "The manifest is a pipe that nobody writes to.", "manifest.json", replaced(MANIFEST, os.mkfifo)),
    Case("manifest-directory", "The manifest is a directory.", "no manifest.json", replaced(MANIFEST, Path.mkdir)),
    Case("name-traversal", "A name leads out of the directory.", f"{NAME} '../secret.txt'", with_entry(SECRET)),
    Case("name-traversal-inside", "A name leads out by way of a folder.", f"{NAME} 'golden/../../secret.txt'",
         with_entry("golden/../../secret.txt")),
    Case("name-absolute", "A name is absolute.", f"{NAME} '/etc/passwd'", with_entry("/etc/passwd")),
    Case("name-backslash", "A name leads out on Windows.", NAME, with_entry("..\\secret.txt")),
    Case("name-drive", "A name begins with a drive.", NAME, with_entry("c:secret.txt")),
    Case("name-dot", "A name is the directory itself.", f"{NAME} '.'", with_entry(".")),
    Case("name-dots", "A name is the directory above.", f"{NAME} '..'", with_entry("..")),
    Case("name-empty", "A name is empty.", f"{NAME} ''", with_entry("")),
    Case("name-nul", "A name holds a NUL, behind which C reads no further.", NAME, with_entry("labels.txt\0.png")),
    Case("name-newline", "A name holds a line feed.", NAME, with_entry("labels\n.txt")),
    Case("name-capital", "A name that some file systems take for another one.", NAME, with_entry("Labels.txt")),
    Case("name-lookalike", "A name with a Cyrillic letter.", NAME, with_entry("l\u0430bels.txt")),
    Case("name-long", "A name of 65 characters.", NAME, with_entry("a" * 65)),
    Case("name-deep", "A name two folders deep.", NAME, with_entry("a/b/c")),
    Case("name-of-the-manifest", "The manifest lists itself.", NAME, with_entry(MANIFEST)),
    Case("size-negative", "A file of −1 bytes.", "has -1 bytes", with_entry("x", {"bytes": -1, "sha256": "0" * 64})),
    Case("size-huge", "A file of 3 GiB.", "expected at most 2 GiB", with_entry("x", {"bytes": 3 * 2**30, "sha256": "0" * 64})),
    Case("size-fraction", "A file of half a byte.", "is float, expected int", with_entry("x", {"bytes": 0.5, "sha256": "0" * 64})),
    Case("digest-short", "A digest of 63 digits.", "no SHA-256 in hex", first_digest("0" * 63)),
    Case("digest-capitals", "A digest in capitals.", "no SHA-256 in hex", first_digest("AB" * 32)),
    Case("digest-wrong", "A digest of something else.", "labels.txt was changed", first_digest("0" * 64)),
    Case("size-wrong", "The right digest, and a size that is not the file's.", "the manifest says 7",
         with_facts(lambda facts: facts["files"][LABELS].update(bytes=7))),
    Case("file-unlisted", "The manifest lacks a file that must be there.", "files lacks labels.txt",
         with_facts(lambda facts: facts["files"].pop(LABELS))),
    Case("file-missing", "A listed file is not there.", "labels.txt cannot be read", lambda folder: (folder / LABELS).unlink()),
    Case("file-extra", "A file that nobody listed.", "'plugin.so' is not listed", written("plugin.so", b"\x7fELF")),
    Case("file-extra-hidden", "A hidden file that nobody listed.", "'.hidden' is not listed", written(".hidden", b"x")),
    Case("file-extra-deep", "A file in a folder that nobody listed.", "is not listed", written("a/b/c.py", b"import os")),
    Case("files-swapped", "Two golden samples have changed places.", "golden/0", swapped),
    Case("file-link", "A file is a link to one outside.", "labels.txt", replaced(LABELS, lambda path: path.symlink_to(SECRET))),
    Case("file-link-broken", "A file is a link to nowhere.", "labels.txt", replaced(LABELS, lambda path: path.symlink_to("nowhere"))),
    Case("file-link-device", "A file is a link to a device without an end.", "labels.txt",
         replaced(LABELS, lambda path: path.symlink_to("/dev/zero"))),
    Case("folder-link", "A folder is a link; the files in it are sound.", "'training' is not listed or is a link", linked_folder),
    Case("file-fifo", "A file is a pipe.", "labels.txt", replaced(LABELS, os.mkfifo)),
    Case("file-socket", "A file is a socket.", "labels.txt", replaced(LABELS, a_socket)),
    Case("file-directory", "A file is a directory.", "labels.txt", replaced(LABELS, Path.mkdir)),
    Case("file-cut", "A file ends early.", "backbone.onnx has", edited("backbone.onnx", lambda old: old[:-1])),
    Case("file-longer", "A file has one byte more.", "backbone.onnx has more bytes", edited("backbone.onnx", lambda old: old + b"x")),
    Case("file-bit", "One bit of the network is another.", "backbone.onnx was changed",
         edited("backbone.onnx", lambda old: old[:-1] + bytes([old[-1] ^ 1]))),
    Case("signature-damaged", "The signature is nonsense.", "manifest.sig is not a signature", written("manifest.sig", b"trust me")),
    Case("signature-link", "The signature is a link.", "manifest.sig", lambda folder: (folder / "manifest.sig").symlink_to(SECRET)),
    Case("classes-fewer", "One class fewer than labels.", "10 labels for 9 classes", with_value("classes", 9)),
    Case("classes-none", "No classes.", "classes is 0", with_value("classes", 0)),
    Case("classes-many", "Two million classes.", "classes is 2000000", with_value("classes", 2_000_000)),
    Case("classes-true", "The number of classes is true.", "classes is bool", with_value("classes", True)),
    Case("features-wrong", "Another number of features (D) than the files have.", "sentinel_features has shape", with_value("features", 5)),
    Case("directions-wrong", "Another number of directions (K).", "sentinel_context has shape", with_value("directions", 5)),
    Case("capacity-none", "Room for no correction.", "capacity is 0", with_value("capacity", 0)),
    Case("temperature-zero", "A temperature to divide by that is zero.", "temperature is 0", with_value("temperature", 0)),
    Case("golden-none", "No golden samples.", "golden.count is 0", with_value("golden.count", 0)),
    Case("golden-many", "A thousand golden samples.", "golden.count is 1000", with_value("golden.count", 1000)),
    Case("crop-huge", "A crop of a hundred thousand pixels a side.", "outside 1…8192 px", with_value("image.crop_px", [100_000, 100_000])),
    Case("std-zero", "A standard deviation to divide by that is zero.", "not positive", with_value("image.std", [0.0, 1.0, 1.0])),
    Case("interpolation-unknown", "A way to resize that does not exist.", "image.interpolation is",
         with_value("image.interpolation", "lanczos")),
    Case("text-escape", "The network's name clears the terminal.", "cannot be printed", with_value("model.name", "\x1b[2Jresnet")),
    Case("labels-few", "Fewer labels than classes.", "9 labels for 10", with_file(LABELS, lambda old: b"".join(old.splitlines(True)[1:]))),
    Case("labels-repeated", "A label stands on two lines.", "on two lines", in_labels(b"frog")),
    Case("labels-escape", "A label that moves the terminal's cursor.", "control character", in_labels(b"\x1b[1A")),
    Case("labels-blank", "A label is empty.", "is empty", in_labels(b"")),
    Case("labels-long", "A label of ten thousand characters.", "has 10000 characters", in_labels(b"x" * 10_000)),
    Case("labels-not-text", "The labels are not UTF-8.", "not UTF-8", in_labels(b"\xff\xfe")),
    Case("labels-pickle", "The labels are a pickle.", "labels.txt", with_file(LABELS, PICKLE)),
    Case("statistics-pickle", "The statistics are a pickle.", "statistics.safetensors cannot be read", with_file(STATISTICS, PICKLE)),
    Case("statistics-cut", "The statistics end early, and are sealed so.", "cannot be read", with_file(STATISTICS, lambda old: old[:-4])),
    Case("statistics-100-gb", "The statistics claim a hundred gigabytes.", "cannot be read", with_file(STATISTICS, hundred_gigabytes)),
    Case("statistics-nan", "A sentinel logit is NaN.", "sentinel_logits holds NaN or Inf", filled("sentinel_logits", np.nan)),
    Case("statistics-infinite", "The head's mean row is infinite.", "mean_row holds NaN or Inf", filled("mean_row", np.inf)),
    Case("statistics-label", "A sentinel label of a class that does not exist.", "outside 0…9", filled("sentinel_labels", 10)),
    Case("statistics-type", "An array of float64.", "leak is float64",
         with_arrays(lambda arrays: arrays.update(leak=arrays["leak"].astype(np.float64)))),
    Case("statistics-missing", "An array is missing.", "arrays are", with_arrays(lambda arrays: arrays.pop("leak"))),
    Case("statistics-extra", "An array that no reader knows.", "arrays are",
         with_arrays(lambda arrays: arrays.update(extra=arrays["leak"]))),
)  # fmt: skip
