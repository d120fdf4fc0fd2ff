"""F2: arrays and labels that are not as they should be, from a seed, given to everything that takes one.

Arrays go to `predict` and `correct`; labels to `correct`, `add_label` and `remove_label`; numbers to `undo`; names to `once` and the queue.
Whatever comes back, comes back as one of our errors, and the state is byte for byte what it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fault import Fault, Outcome
from on_device import ARTIFACT, PHOTOS, TRUTHS, files_below

from edge_agent.agent import EdgeAgent
from edge_agent.errors import EdgeAgentError
from edge_agent.results import Prediction
from edge_agent.settings import Settings

Rng = np.random.Generator
TYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u2", "u4", "u8", "c8", "?", "S4", "U4", "O", "M8[s]")
VALUES = (np.nan, np.inf, -np.inf, 1e38, -1e38, 0.0, 1e-45)
FULL_LOOK_EVERY = 50  # trials between two looks at every byte of the state; at the end there is one in any case


def an_array(rng: Rng) -> Any:
    """An array that is no picture: of another rank, type or shape, or empty."""
    rank = int(rng.integers(0, 6))
    shape = tuple(int(side) for side in rng.integers(0, 12, rank))
    turn = rng.random()
    if turn < 0.4:
        kind = np.dtype(TYPES[int(rng.integers(len(TYPES)))])
        return np.zeros((*(int(s) for s in rng.integers(1, 40, 2)), 3), kind)
    if turn < 0.7:
        return np.full(shape, VALUES[int(rng.integers(len(VALUES)))], ("f4", "f8")[int(rng.integers(2))])
    wrong = [(0, 5, 3), (5, 0, 3), (5, 5, 0), (5, 5, 1), (5, 5, 2), (5, 5, 4), (3, 5, 5), (1, 5, 5, 3), (5,), (), (1, 500, 3), (500, 1)]
    return np.zeros(wrong[int(rng.integers(len(wrong)))], np.uint8)


def a_label(rng: Rng) -> Any:
    """A label that is none: unknown, or that cannot be one."""
    texts = (
        "", " ", "../x", "/etc/passwd", "a\tb", "a\nb", "\x1b[2J", "\0", "x" * 10_000, " frog", "frog ", "FROG", "fr\u043eg", "\u202egorf",
        "\ud800", "no such label", "'; DROP TABLE corrections;--", "%s%n", "{0}", "\u200b", "NaN", "1", "é" * 129,
    )  # fmt: skip
    if rng.random() < 0.2:
        return (None, 3, b"frog", ["frog"], 1.5, float("nan"), object(), True)[int(rng.integers(8))]
    if rng.random() < 0.3:
        letters = "".join(chr(int(rng.integers(0, 0xD800))) for _ in range(int(rng.integers(1, 200))))
        return letters + "\x7f"  # never one that could be added
    return texts[int(rng.integers(len(texts)))]


def unfit(label: Any) -> bool:
    """Whether a label may not be added either; those that may are only tried where they must exist already."""
    from edge_agent.manifest import label_fault

    return not isinstance(label, str) or label_fault(label) is not None


def calls(agent: EdgeAgent, seen: Prediction, rng: Rng) -> tuple[str, Callable[[], object]]:
    """One call that must be refused."""
    turn = int(rng.integers(9))
    if turn < 3:
        array = an_array(rng)
        words = f"{getattr(array, 'dtype', '')} {getattr(array, 'shape', '')}"
        if turn == 2:
            return f"correct(array {words})", lambda: agent.correct(array, "frog")
        return f"predict(array {words})", lambda: agent.predict(array)
    label = a_label(rng)
    if turn == 3:
        return f"correct(seen, {label!r:.60})", lambda: agent.correct(seen, label)
    if turn == 4 and unfit(label):
        return f"add_label({label!r:.60})", lambda: agent.add_label(label)
    if turn == 5 and unfit(label):
        return f"correct(seen, {label!r:.60}, new_label)", lambda: agent.correct(seen, label, new_label=True)
    if turn == 6:
        number = (0, -1, 10**6, 2**63, 2**70)[int(rng.integers(5))]
        return f"undo({number})", lambda: agent.undo(number)
    if turn == 7:
        return f"queue.label({label!r:.60})", lambda: agent.queue.label(label, "frog")
    if turn == 8 and (not isinstance(label, str) or not label.isprintable() or not 0 < len(label) <= 128):
        return f"once({label!r:.60})", lambda: agent.once(label).__enter__()
    return f"remove_label({label!r:.60})", lambda: agent.remove_label(label)


def run(trials: int, seed: int, folder: Path) -> Outcome:
    """Make the calls, and look at the state."""
    rng, failures, refused = np.random.default_rng([seed, 2]), list[str](), 0
    state = folder / "state"
    agent = EdgeAgent.open(ARTIFACT, state, settings=Settings(views=0))
    agent.correct(PHOTOS[0], TRUTHS[0])
    seen, before, head, slowest = agent.predict(PHOTOS[1]), files_below(state), agent.head.digest(), 0.0
    for number in range(trials):
        words, call = calls(agent, seen, rng)
        started = time.perf_counter()
        try:
            call()
            failures.append(f"{number}, {words}: was not refused")
        except EdgeAgentError as error:
            refused += 1
            if "\n" in str(error) or not error.hint:
                failures.append(f"{number}, {words}: not one line with a hint: {error!s:.200}")
        except BaseException as error:
            failures.append(f"{number}, {words}: {type(error).__name__}: {error!s:.200}")
        slowest = max(slowest, time.perf_counter() - started)
        if number % FULL_LOOK_EVERY == 0 and files_below(state) != before:
            failures.append(f"{number}, {words}: the state changed, within the last {FULL_LOOK_EVERY}")
            before = files_below(state)
    if files_below(state) != before or agent.head.digest() != head:
        failures.append("the state or the head changed")
    agent.close()
    return Outcome(trials, tuple(failures), {"refused": refused, "slowest ms": round(slowest * 1000, 1)})


FAULTS = (
    Fault(
        "F2", "arrays and labels: rank, type, NaN, Inf, 1e38, empty; ../x, control characters, 10 kB, no text; numbers that are no ids",
        "one of our errors, on one line with a hint; nothing changed", "call", 300, 5000, run,
    ),
)  # fmt: skip
