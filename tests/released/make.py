"""Write the fixture of this version: an artifact and a state as it makes them, and what it reads from them; once, when it is released.

    python tests/released/make.py

The artifact is sound to `edge_agent.artifact` and nonsense to a runtime, so that both stay small; every table of the state has rows.
"""

from __future__ import annotations

import gzip
import json
import sqlite3
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

import numpy as np  # noqa: E402
from fake_artifact import write_fake_artifact  # noqa: E402
from on_device import an_entry, open_journal, some_seen  # noqa: E402

from edge_agent import __version__  # noqa: E402
from edge_agent.artifact import Artifact  # noqa: E402
from edge_agent.head import AddedClasses, Head  # noqa: E402
from edge_agent.journal import Journal  # noqa: E402
from edge_agent.journal_file import FILE_NAME  # noqa: E402
from edge_agent.journal_mark import MARK_NAME  # noqa: E402
from edge_agent.journal_queue import read_answers, waiting_pictures  # noqa: E402
from edge_agent.journal_requests import read_requests  # noqa: E402
from edge_agent.journal_rows import Pending, read_pending  # noqa: E402
from edge_agent.remembering import Memory  # noqa: E402


def live(journal: Journal) -> None:
    """Rows in every table: corrections that act, were undone and refused, pictures, views, labels, a queue, requests, pending ones."""
    seen = [some_seen(number, rows=1 + number % 2) for number in range(1, 4)]
    with journal.writing() as writer:
        writer.add_label("Möwe")
        writer.add_pending(Pending(7, "2026-01-01T00:00:00.000+00:00", "old.jpg", "ab" * 8, "newt", "its picture was not kept"))
    for number in range(1, 5):
        with journal.on_behalf_of(f"request {number}"), journal.writing() as writer:
            is_active = number != 4
            entry = an_entry(number, "Möwe" if number == 3 else "dog", is_active)
            writer.add_correction(entry, some_seen(number, rows=1 + number % 2), b"\xff%d" % number)
            if is_active:
                contexts = [each.context for each in seen[:number]]
                rows = sum(map(len, contexts))
                coefficients = some_seen(number, classes=4, rows=rows).logits
                head = Head(np.concatenate(contexts), coefficients, 2.25, AddedClasses.unlearned(1, 5, 4))
                writer.add_generation("correct", head, [Memory((n,), 0, seen[n - 1]) for n in range(1, number + 1)])
    with journal.writing() as writer:
        writer.undo([2])
        writer.queue.add("cd" * 8, "waits.jpg", some_seen(9), b"a picture that waits")
        writer.queue.add("ef" * 8, None, some_seen(10), b"another")
        writer.queue.answer("ef" * 8, "skipped", None, some_seen(10).context[0])


def facts_of(journal: Journal) -> dict[str, object]:
    """What a version reads: everything, with bytes as numbers that JSON has."""
    head = journal.generation()
    return {
        "generation": head.number, "head": None if head.head is None else head.head.digest(), "labels": list(journal.added_labels()),
        "history": [[e.id, e.label, e.verdict, e.active, e.undone_at is not None, e.sentinel.after, e.reason] for e in journal.history()],
        "records": [[r.id, r.label, r.seen.context.round(6).tolist(), r.seen.logits.round(6).tolist()] for r in journal.records()],
        "pictures": [(journal.picture(number) or b"").hex() for number in range(1, 5)],
        "waiting": [[image, picture.hex()] for image, picture in journal.read(waiting_pictures)],
        "answers": [[a.sample_id, a.answer, a.label] for a in journal.read(read_answers)],
        "requests": [[r.name, list(r.corrections)] for r in journal.read(read_requests)],
        "pending": [[p.correction, p.label, p.reason] for p in journal.read(read_pending)],
    }  # fmt: skip


def main() -> None:
    """Write the folder of this version; it must not be there yet."""
    folder = HERE / __version__
    artifact = Artifact.open(write_fake_artifact(folder / "artifact"))
    with tempfile.TemporaryDirectory() as state:
        journal = open_journal(Path(state), artifact.digest)
        live(journal)
        expected = facts_of(journal)
        journal.close()
        with sqlite3.connect(Path(state, FILE_NAME)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (folder / f"{FILE_NAME}.gz").write_bytes(gzip.compress(Path(state, FILE_NAME).read_bytes(), 9, mtime=0))
        (folder / MARK_NAME).write_bytes(Path(state, MARK_NAME).read_bytes())
    expected |= {"artifact": artifact.digest, "version": __version__}
    (folder / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
