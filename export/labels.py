"""Labels: from a file or from the folders' names, refused when they are not what a device can show, ask for and store."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from edge_agent.artifact import label_fault
from edge_agent.errors import InputError, LabelError

FILE_LIMIT_BYTES = 16 * 1024**2


def read_labels(path: Path) -> tuple[str, ...]:
    """The labels of a file: UTF-8, one per line, in the order of the network's logits.

    A byte order mark and Windows line ends are taken away; letters are brought to Unicode's composed form (NFC), so that a
    name typed on one system equals the folder of another.

    Args:
        path: the file.

    Returns:
        The labels.

    Raises:
        InputError: the file is missing, too large or not UTF-8.
        LabelError: a line is blank, repeated, too long, begins or ends with a space, or holds a control character.
    """
    try:
        with path.open("rb") as file:
            data = file.read(FILE_LIMIT_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"labels file {path} cannot be read: {error.strerror}", "give a text file, one label per line") from None
    except UnicodeDecodeError as error:
        raise InputError(f"labels file {path} is not UTF-8: byte {error.start}", "save it as UTF-8, one label per line") from None
    if len(data) > FILE_LIMIT_BYTES:
        raise InputError(f"labels file {path} is larger than {FILE_LIMIT_BYTES} bytes", "give a text file, one label per line")
    if not text:
        raise LabelError(f"labels file {path} is empty", "write one label per line, in the order of the network's logits")
    lines = text.removesuffix("\n").removesuffix("\r").split("\n")
    return check_labels([line.removesuffix("\r") for line in lines], f"labels file {path}, line ")


def check_labels(labels: Sequence[str], where: str) -> tuple[str, ...]:
    """Labels in NFC, or an error that names the first bad one.

    Args:
        labels: in the order of the logits.
        where: what stands before the number of a bad label, such as "labels file a.txt, line ".

    Returns:
        The labels.

    Raises:
        LabelError: fewer than two, or one is blank, repeated, too long or not printable.
    """
    known: dict[str, int] = {}
    for number, label in enumerate((unicodedata.normalize("NFC", label) for label in labels), 1):
        fault = label_fault(label)
        if fault is not None:
            raise LabelError(f"{where}{number} {fault}", "one printable label per line, at most 128 characters, none blank")
        if label in known:
            raise LabelError(f"{where}{number} repeats {label!r}, the label of number {known[label]}", "each label must be unique")
        known[label] = number
    if len(known) < 2:
        raise LabelError(f"{where}{len(known)} is the last, expected at least 2 labels", "a classifier tells classes apart")
    return tuple(known)


def match_folders(labels: Sequence[str], folders: Sequence[str], where: Path) -> tuple[str, ...]:
    """Hold the folders of --data against the labels.

    Args:
        labels: the labels of the network.
        folders: names of the folders that hold pictures, in NFC.
        where: the folder of folders, for the error.

    Returns:
        Labels without a folder: the network knows them, the pictures do not show them.

    Raises:
        LabelError: a folder is no label.
    """
    strange = sorted(set(folders) - set(labels))
    if strange:
        near = difflib.get_close_matches(strange[0], labels, n=3, cutoff=0.5)
        hint = f"nearest labels: {', '.join(near)}" if near else "rename the folder as its label, or correct --labels"
        more = f" (and {len(strange) - 1} more)" if len(strange) > 1 else ""
        raise LabelError(f"the folder {strange[0]!r}{more} of {where} is none of the {len(labels)} labels", hint)
    return tuple(label for label in labels if label not in set(folders))


def check_count(labels: Sequence[str], classes: int, given: bool) -> None:
    """Hold the number of labels against the network's classes.

    Args:
        labels: the labels.
        classes: outputs of the network's last layer.
        given: True when they came from --labels, False when they are the folders' names.

    Raises:
        LabelError: the numbers differ.
    """
    if len(labels) == classes:
        return
    source = "--labels has" if given else "--data has"
    noun = "labels" if given else "folders"
    hint = (
        "give one label per output of the network, in its order; or --reinit head, for a new task"
        if given
        else "give --labels FILE with one label per output of the network, in its order; or --reinit head, for a new task"
    )
    raise LabelError(f"{source} {len(labels)} {noun}, the network has {classes} classes", hint)
