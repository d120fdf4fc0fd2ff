"""D3: the disk is full, fails, is read-only, or no file can be opened: at each operation in turn, and in earnest.

Below SQLite (`sqlite_seam`) the n-th operation of one change of the state fails, and every one after it until "there is room": once for
each n, kind of operation and fault. In earnest: a tmpfs of a few hundred kB where this user may mount one, a limit of file size, a
directory that cannot be written, and no descriptor left; each in a process of its own.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlite_seam as codes
from fault import Fault, Outcome
from field import Field
from sqlite_seam import OK, Hook, available, seam

from edge_agent.agent import EdgeAgent
from edge_agent.errors import StateError

TAUGHT = 3
KINDS: dict[str, dict[str, int]] = {
    "ENOSPC": {"write": codes.FULL, "truncate": codes.IOERR_TRUNCATE},
    "EIO": {"write": codes.IOERR_WRITE, "truncate": codes.IOERR_TRUNCATE, "sync": codes.IOERR_FSYNC, "delete": codes.IOERR_DELETE},
    "EROFS": {"write": codes.READONLY, "open": codes.CANTOPEN, "delete": codes.IOERR_DELETE},
    "EMFILE": {"open": codes.CANTOPEN},
}


class Failing(Hook):
    """From the n-th operation that a fault touches on, all of them fail; `left` below 0 lets everything happen."""

    def __init__(self, kinds: dict[str, int]) -> None:
        self.kinds, self.left, self.count, self.hit = kinds, -1, 0, False

    def _fate(self, operation: str) -> int:
        if operation not in self.kinds:
            return OK
        self.count += 1
        if self.left < 0 or self.count <= self.left:
            return OK
        self.hit = True
        return self.kinds[operation]

    def open(self, file: str, creates: bool) -> int:
        return self._fate("open")

    def write(self, file: str, data: bytes, offset: int) -> int:
        return self._fate("write")

    def truncate(self, file: str, size: int) -> int:
        return self._fate("truncate")

    def sync(self, file: str) -> int:
        return self._fate("sync")

    def delete(self, file: str) -> int:
        return self._fate("delete")


Change = Callable[[Field, EdgeAgent], object]
CHANGES: dict[str, Change] = {
    "correct": lambda device, agent: device.teach(agent, TAUGHT),
    "undo": lambda device, agent: agent.undo(),
    "add label": lambda device, agent: agent.add_label("newt"),
    "queue": lambda device, agent: agent.queue.offer(device.seen[7]),
    "first correction after a start": lambda device, agent: (agent.close(), device.teach(agent, TAUGHT)),
}


def after(device: Field, agent: EdgeAgent, before: str, error: Exception | None, change: Change, hook: Failing) -> str | None:
    """What is wrong once a change failed, and once there is room again."""
    if error is not None and not isinstance(error, StateError):
        return f"unexpected {type(error).__name__}: {error}"
    if error is not None and (agent.head.digest() != before or not agent.predict(device.pictures[0]).label):
        return "the head that served before does not serve"
    hook.left = -1
    if error is None:
        return None
    try:
        change(device, agent)
    except Exception as again:
        return f"it does not work again: {again}"
    return None


def one(device: Field, name: str, kind: str, place: int, folder: Path) -> tuple[str | None, bool]:
    """Let the operations from this one on fail during one change; whether the fault was met at all."""
    shutil.rmtree(folder, ignore_errors=True)
    hook = Failing(KINDS[kind])
    fault: str | None = None
    with seam(hook), device.agent(folder) as agent:
        for number in range(TAUGHT):
            device.teach(agent, number)
        before, error = agent.head.digest(), None
        hook.count, hook.left = 0, place
        try:
            CHANGES[name](device, agent)
        except Exception as raised:
            error = raised
        was_met = hook.hit
        fault = after(device, agent, before, error, CHANGES[name], hook)
    found = device.faults_of(folder)
    return fault or ("; ".join(found) or None), was_met


def in_earnest(device: Field, name: str, hinder: Callable[[Path], None], folder: Path) -> str | None:
    """A change in a process that something real keeps from writing, and again when it no longer does."""
    with device.agent(folder) as agent:
        for number in range(TAUGHT):
            device.teach(agent, number)
        before = agent.head.digest()
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        found = device.faults_of(folder)
        words = {1: "no typed error", 2: "the old head does not serve", 3: "it does not work again"}
        return None if not code and not found else f"{name}: {words.get(code, f'exit {code}')}; {found}"
    code = 3
    try:
        with device.agent(folder) as agent:
            assert agent.head.digest() == before
            if name == "no descriptor":
                agent.close()  # what is open needs none
            hinder(folder)
            code = 1
            try:
                for number in range(TAUGHT, 600):
                    agent.correct(device.seen[number % 8], device.labels[number % 7], views=0, force=True)
            except StateError:
                code = 2
            code = code if code == 1 or agent.head.digest() == agent._keeper.current().head.digest() else 2
            if code == 2 and agent.predict(device.pictures[0]).label:
                code = 3
                relieve(name, folder)
                agent.correct(device.seen[9], device.labels[3], views=0, force=True)
                code = 0
    finally:
        os._exit(code)


def limit_file_size(folder: Path) -> None:
    """A file-size limit a little above what the log has now."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = max(path.stat().st_size for path in folder.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def take_the_rights(folder: Path) -> None:
    """Become a user who may read and not write."""
    folder.chmod(0o555)
    for path in (*folder.parents, *folder.iterdir()):
        with contextlib.suppress(OSError):
            path.chmod(path.stat().st_mode | 0o555)
    if os.geteuid() == 0:
        os.setgroups([])
        os.seteuid(65534)


def leave_no_descriptor(folder: Path) -> None:
    """Open files until there are none left; the journal is closed first, so that it has to be opened."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, limits[1]))
    with contextlib.suppress(OSError):
        while True:
            HELD.append(os.open(os.devnull, os.O_RDONLY))


def relieve(name: str, folder: Path) -> None:
    """What a person does: make room, give the rights back, let files go."""
    if name == "file size":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.getrlimit(resource.RLIMIT_FSIZE)[1],) * 2)
    elif name == "read-only":
        if os.geteuid() == 65534:
            os.seteuid(0)
        folder.chmod(0o755)
    elif name == "no descriptor":
        while HELD:
            os.close(HELD.pop())
    else:
        (folder / "ballast").unlink()


HELD: list[int] = []
HINDRANCES: dict[str, Callable[[Path], None]] = {
    "file size": limit_file_size, "read-only": take_the_rights, "no descriptor": leave_no_descriptor,
}  # fmt: skip


def full_disk(device: Field, folder: Path) -> str | None:
    """A file system of 2 MB, filled; None also where this user may mount none."""
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder], capture_output=True, check=False).returncode:
        return None

    def fill(state: Path) -> None:
        with contextlib.suppress(OSError), open(state / "ballast", "wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass

    try:
        return in_earnest(device, "full disk", fill, folder / "state")
    finally:
        subprocess.run(["umount", folder], check=True)


def run(trials: int, seed: int, folder: Path) -> Outcome:
    """Each operation of each change with each fault until a change meets it no more, and each hindrance in earnest."""
    if not available():
        pytest.skip("Python's sqlite3 has SQLite built in: nothing can be made to fail below it")
    device, failures, made = Field(folder), list[str](), 0
    for name in CHANGES:
        for kind in KINDS:
            for place in range(1000):
                fault, was_met = one(device, name, kind, place, folder / "seam")
                made += 1
                failures += [f"{name}, {kind} from operation {place} on: {fault}"] if fault else []
                if not was_met:
                    break
    for name, hinder in HINDRANCES.items():
        fault = in_earnest(device, name, hinder, folder / name.replace(" ", "-"))
        made += 1
        failures += [fault] if fault else []
    fault = full_disk(device, folder / "small")
    failures += [fault] if fault else []
    return Outcome(max(made + 1, trials), tuple(failures), {"in earnest": len(HINDRANCES) + 1})


FAULTS = (
    Fault(
        "D3", "ENOSPC, EIO, EROFS, EMFILE at each operation; a full file system, a file-size limit, a read-only directory, no descriptor",
        "an error of ours, the head that served before serves, and it works again without a restart once there is room",
        "fault", 60, 60, run,
    ),
)  # fmt: skip
