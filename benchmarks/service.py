"""The service under load: what HTTP costs, fifty clients while one corrects, two hundred slow ones, and a kill in the middle.

    python benchmarks/service.py

A real server in a process of its own, on the artifact `artifacts/default`, and clients in this one, on the same machine: what the clients
cost is in every number. Prints a table for docs/service.md; exits with 1 where a bound is not kept.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from learning_tables import markdown_table, with_tables

from edge_agent.agent import EdgeAgent

ROOT = Path(__file__).parents[1]
ARTIFACT = ROOT / "artifacts" / "default"
PHOTOS = sorted((ROOT / "artifacts" / "field").glob("*/*.jpg"))
TOKEN = "a-token-for-the-benchmark-alone"
CLIENTS, SLOW, CORES = 50, 200, os.cpu_count() or 1
OVERHEAD_MS, TIMES, SLOWER = 2.0, 3.0, 2.0
"""The bounds: of the median overhead, of p99 with many clients (times the single median, clients / cores), of p99 beside slow clients."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    found: str
    bound: str
    kept: bool


class Client:
    """One connection that stays open; answers are read whole."""

    def __init__(self, port: int) -> None:
        """Nothing is opened before the first request."""
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: bytes = b"", kind: str = "image/jpeg") -> tuple[int, bytes]:
        """Status and body of one request."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        lines = f"{method} {path} HTTP/1.1", f"host: 127.0.0.1:{self._port}", f"authorization: Bearer {TOKEN}"
        head = "\r\n".join([*lines, f"content-type: {kind}", f"content-length: {len(body)}", "", ""])
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in answer.split(b"\r\n") if line.startswith(b"content-length:"))
        return int(answer.split(b" ", 2)[1]), await reader.readexactly(length)

    async def say(self, path: str, facts: object) -> tuple[int, dict[str, object]]:
        """Status and JSON of a request with a JSON body."""
        status, body = await self.ask("POST", path, json.dumps(facts).encode(), "application/json")
        return status, json.loads(body)

    def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()


@contextlib.contextmanager
def served(state: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A service in a process of its own; its process and its port."""
    command = [sys.executable, "-m", "edge_agent.cli", "--artifact", str(ARTIFACT), "--state", str(state), "serve", "--port", "0"]
    environment = {**os.environ, "EDGE_AGENT_TOKEN": TOKEN, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stderr.readline() if process.stderr else ""
            if not line.startswith("serving "):
                sys.exit(f"the service does not start: {line}")
            yield process, int(line.rstrip().rstrip("/").rpartition(":")[2])
        finally:
            process.kill()


def p(values: Sequence[float], percent: float) -> float:
    """A percentile, the value that as many are not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


async def one_by_one(port: int, count: int) -> tuple[list[float], list[float]]:
    """Round trips of one client in milliseconds, and what of each was not the agent's own time."""
    client, picture = Client(port), PHOTOS[0].read_bytes()
    trips, overheads = [], []
    for number in range(count + 20):
        started = time.perf_counter()
        status, body = await client.ask("POST", "/v1/predict", picture)
        took = (time.perf_counter() - started) * 1000
        if status != 200:
            sys.exit(f"status {status}: {body!r}")
        if number >= 20:
            trips.append(took)
            overheads.append(took - json.loads(body)["elapsed_ms"])
    client.close()
    return trips, overheads


@dataclass
class Load:
    """What fifty clients and one that corrects saw."""

    trips: list[float]
    faults: list[str]
    corrections: list[float]
    acknowledged: list[tuple[str, int]]


async def under_load(port: int, seconds: float, process: subprocess.Popen[str]) -> Load:
    """Many predict, one corrects and takes back; then comes kill -9, in the middle of all of it."""
    load, end = Load([], [], [], []), time.monotonic() + seconds

    async def predict(place: int) -> None:
        client, picture = Client(port), PHOTOS[place % len(PHOTOS)].read_bytes()
        while True:
            started = time.perf_counter()
            try:
                status, body = await client.ask("POST", "/v1/predict", picture)
            except (OSError, asyncio.IncompleteReadError) as error:
                if time.monotonic() < end:
                    load.faults.append(repr(error))
                return
            load.trips.append((time.perf_counter() - started) * 1000)
            if status != 200:
                load.faults.append(f"{status} {body[:200]!r}")

    async def correct() -> None:
        client, number = Client(port), 0
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                photo = PHOTOS[number % len(PHOTOS)]
                _, body = await client.ask("POST", "/v1/predict", photo.read_bytes())
                started = time.perf_counter()
                facts = {"sample_id": json.loads(body)["sample_id"], "label": photo.parent.name, "force": True}
                status, done = await client.say("/v1/corrections", facts)
                load.corrections.append((time.perf_counter() - started) * 1000)
                if status != 200 or not isinstance(done["id"], int):
                    load.faults.append(f"{status} {done}")
                    continue
                load.acknowledged.append(("correct", done["id"]))
                number += 1
                if number % 3 == 0:
                    await client.say(f"/v1/corrections/{done['id']}/undo", {})
                    load.acknowledged.append(("undo", done["id"]))

    tasks = [asyncio.create_task(predict(place)) for place in range(CLIENTS)] + [asyncio.create_task(correct())]
    await asyncio.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    await asyncio.wait(tasks, timeout=30)
    return load


def lost(load: Load, state: Path) -> int:
    """How many acknowledged acts are not in the journal."""
    agent = EdgeAgent.open(ARTIFACT, state)
    active = {entry.id: entry.active for entry in agent.history()}
    agent.close()
    gone = [number for verb, number in load.acknowledged if number not in active or (verb == "undo" and active[number])]
    return len(gone)


async def slow_client(port: int, place: int) -> None:
    """One byte a second, for ever: of a head, or with a whole head of the body."""
    body = f"POST /v1/predict HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: 9999\r\n\r\n".encode()
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            if place % 2:
                writer.write(body)
            for _ in range(60):
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(1)
            writer.close()


async def beside_slow_clients(port: int, rounds: int, count: int) -> tuple[list[float], list[float]]:
    """Round trips of one client, alone and beside slow ones, in turn."""
    alone, beside = list[float](), list[float]()
    for _ in range(rounds):
        alone += (await one_by_one(port, count))[0]
        slow = [asyncio.create_task(slow_client(port, place)) for place in range(SLOW)]
        await asyncio.sleep(2)
        beside += (await one_by_one(port, count))[0]
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        await asyncio.sleep(1)
    return alone, beside


def measured(folder: Path, seconds: float, count: int) -> list[Row]:
    """Everything, in the order of the table."""
    rows = []
    with served(folder / "calm") as (_, port):
        trips, overheads = asyncio.run(one_by_one(port, count))
        single, over = statistics.median(trips), statistics.median(overheads)
        rows.append(Row("one client, round trip of a prediction, median (p99)", f"{single:.2f} ms ({p(trips, 99):.2f})", "", True))
        rows.append(Row("of it not the agent's own time, median", f"{over:.2f} ms", f"≤ {OVERHEAD_MS:g} ms", over <= OVERHEAD_MS))
        alone, beside = asyncio.run(beside_slow_clients(port, 3, count // 2))
        first, second = p(alone, 99), p(beside, 99)
        found = f"{first:.2f} → {second:.2f} ms ({second / first:.2f} ×)"
        what = f"one client beside {SLOW} slow ones (1 byte/s), p99 alone → beside"
        rows.append(Row(what, found, f"≤ {SLOWER:g} ×", second <= SLOWER * first))
    with served(folder / "load") as (process, port):
        single = statistics.median(asyncio.run(one_by_one(port, count))[0])
        load = asyncio.run(under_load(port, seconds, process))
    bound, p99 = TIMES * single * CLIENTS / CORES, p(load.trips, 99)
    what = f"{CLIENTS} clients predict while one corrects: p99 (median; predictions a second)"
    found = f"{p99:.1f} ms ({statistics.median(load.trips):.1f}; {len(load.trips) / seconds:.0f}/s)"
    rows.append(Row(what, found, f"≤ 3 × {single:.2f} × {CLIENTS}/{CORES} = {bound:.1f} ms", p99 <= bound))
    answers = len(load.trips) + len(load.corrections)
    rows.append(Row("errors meanwhile, of so many answers", f"{len(load.faults)} of {answers}", "0", not load.faults))
    if load.faults:
        print(load.faults[:3], file=sys.stderr)
    corrections = f"{len(load.corrections)}: {statistics.median(load.corrections):.0f} ms ({p(load.corrections, 99):.0f})"
    rows.append(Row("corrections meanwhile, acknowledged: median (p99)", corrections, "", True))
    gone = lost(load, folder / "load")
    what = "acknowledged corrections and undos that are not in the journal after kill -9"
    rows.append(Row(what, f"{gone} of {len(load.acknowledged)}", "0", gone == 0))
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="under load")
    parser.add_argument("--count", type=int, default=1000, help="requests of the single client")
    parser.add_argument("--write", action="store_true", help="the table into docs/service.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edge-agent-service-") as folder:
        rows = measured(Path(folder), options.seconds, options.count)
    cells = [(row.what, row.found, row.bound, ("kept" if row.kept else "**missed**") if row.bound else "") for row in rows]
    table = markdown_table(("measured", "found", "bound", ""), cells)
    print(table)
    if options.write:
        page = ROOT / "docs/service.md"
        page.write_text(with_tables(page.read_text("utf-8"), ("service",), {"service": table}), "utf-8")
    sys.exit(0 if all(row.kept for row in rows) else 1)


if __name__ == "__main__":
    main()
