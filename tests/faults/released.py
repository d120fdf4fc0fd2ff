"""D6: what released versions wrote is opened by today's code: it reads the same from it and writes on, or refuses and says why.

`tests/released/VERSION` has an artifact and a state that the version wrote, and what it read from them (`make.py` there). A version to come
is played by raising the schema's number.
"""

from __future__ import annotations

import gzip
import json
import shutil
import sqlite3
import sys
from pathlib import Path

from fault import Fault, Outcome
from on_device import an_entry, files_below, open_journal, some_seen

from edge_agent.artifact import Artifact
from edge_agent.errors import ArtifactError, EdgeAgentError, StateError
from edge_agent.journal_file import FILE_NAME
from edge_agent.journal_mark import MARK_NAME
from edge_agent.state_check import damage_of
from edge_agent.state_reader import open_snapshot

RELEASED = Path(__file__).parents[1] / "released"
VERSIONS = tuple(sorted(path.parent.name for path in RELEASED.glob("*/expected.json")))
TRIALS_OF_A_VERSION = 3


def unpacked(version: str, folder: Path) -> Path:
    """The state of a version, as it left it."""
    folder.mkdir(parents=True)
    (folder / FILE_NAME).write_bytes(gzip.decompress((RELEASED / version / f"{FILE_NAME}.gz").read_bytes()))
    shutil.copy(RELEASED / version / MARK_NAME, folder / MARK_NAME)
    return folder


def opened(version: str, folder: Path) -> list[str]:
    """Artifact and state, read and written on."""
    sys.path.insert(0, str(RELEASED))
    from make import facts_of

    expected = json.loads((RELEASED / version / "expected.json").read_text("utf-8"))
    artifact = Artifact.open(RELEASED / version / "artifact")
    failures = [] if artifact.digest == expected["artifact"] else [f"{version}: the artifact's digest is another one"]
    state = unpacked(version, folder)
    journal = open_journal(state, artifact.digest)
    found = json.loads(json.dumps(facts_of(journal)))
    failures += [f"{version}: {name} is {found[name]}, it was {expected[name]}" for name in found if found[name] != expected[name]]
    with journal.writing() as writer:
        number = writer.next_correction()
        writer.add_correction(an_entry(number), some_seen(number), b"today's")
    if [entry.id for entry in journal.history()] != list(range(1, number + 1)):
        failures.append(f"{version}: it cannot be written on")
    journal.close()
    connection = open_snapshot(state, 1000)
    failures += [f"{version}: {found}" for found in damage_of(connection, state)] if connection else [f"{version}: it is gone"]
    if connection:
        connection.close()
    return failures


def newer_state(version: str, folder: Path) -> list[str]:
    """The same state with a schema of tomorrow."""
    state = unpacked(version, folder)
    connection = sqlite3.connect(state / FILE_NAME)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    before = files_below(state)
    try:
        open_journal(state, "a" * 64).history()
    except StateError as error:
        return [] if "newer edge-agent" in error.message and files_below(state) == before else [f"{version}: {error}"]
    return [f"{version}: a state of schema 99 was opened"]


def newer_artifact(version: str, folder: Path) -> list[str]:
    """The same artifact with a schema of tomorrow."""
    from fake_artifact import signed

    shutil.copytree(RELEASED / version / "artifact", folder)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_bytes(signed({**manifest, "schema": 99}))
    try:
        Artifact.open(folder)
    except ArtifactError as error:
        return [] if "schema" in error.message else [f"{version}: {error}"]
    return [f"{version}: an artifact of schema 99 was opened"]


def run(trials: int, seed: int, folder: Path) -> Outcome:
    """Every version that was released."""
    failures = list[str]()
    for version in VERSIONS:
        for what in (opened, newer_state, newer_artifact):
            try:
                failures += what(version, folder / f"{version}-{what.__name__}")
            except EdgeAgentError as error:
                failures.append(f"{version}, {what.__name__}: {error}")
    if not VERSIONS:
        failures.append("there is no fixture of any version")
    return Outcome(TRIALS_OF_A_VERSION * len(VERSIONS), tuple(failures), {"versions": ", ".join(VERSIONS)})


FAULTS = (
    Fault(
        "D6", "artifact and state of every released version, opened by today's code; and of one to come",
        "the same is read from it and it is written on; what is newer is refused in so many words", "opening",
        TRIALS_OF_A_VERSION * len(VERSIONS), TRIALS_OF_A_VERSION * len(VERSIONS), run,
    ),
)  # fmt: skip
