"""One correction: from the evidence to a candidate head, its verdict, and the journal's record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_agent.findings import Findings
from edge_agent.guard import Judgement
from edge_agent.head import Evidence, Head, softmax
from edge_agent.journal import Entry, Writer
from edge_agent.keeper import HeadKeeper, Serving
from edge_agent.learner import Solution
from edge_agent.results import Correction, Prediction, Ranked
from edge_agent.runtime import Seen

Said: TypeAlias = tuple[NDArray[np.float32], Ranked]  # the logits of a picture `[C+P]`, and its first label


@dataclass(frozen=True, eq=False)
class Candidate:
    """A head that might serve, and what becomes of it.

    Attributes:
        evidence: the active corrections and the new one.
        labels: the labels with the new one, where it is new.
        label: what the person said.
        solution: what the evidence was solved to.
        judgement: what the guard measured, and found.
        findings: what else there is to say.
        was, now: the prediction of the head in use and of the candidate.
        verdict: "accepted", "already_correct" or "refused".
        reason: in words.
        force: whether the person insisted.
    """

    evidence: tuple[Evidence, ...]
    labels: tuple[str, ...]
    label: str
    solution: Solution
    judgement: Judgement
    findings: Findings
    was: Ranked
    now: Ranked
    verdict: str
    reason: str
    force: bool


def rank(head: Head, labels: Sequence[str], seen: Seen, top: int) -> tuple[Ranked, ...]:
    """The `top` most probable labels of the first picture, the first one first; equal ones in the order of the labels."""
    return _ranked(head.logits(seen)[0], labels, top)


def _ranked(logits: NDArray[np.float32], labels: Sequence[str], top: int) -> tuple[Ranked, ...]:
    probability = softmax(logits)
    order = np.argsort(-probability, kind="stable")[:top].tolist() if top > 1 else [int(probability.argmax())]
    return tuple(Ranked(labels[i], float(probability[i])) for i in order)


def _said(serving: Serving, seen: Prediction) -> Said:
    logits = serving.head.logits(seen.seen)[0]
    return logits, _ranked(logits, serving.labels, 1)[0]


def consider(
    keeper: HeadKeeper, serving: Serving, seen: Prediction, label: str, number: int, force: bool, said: Said | None = None
) -> Candidate:
    """Solve with the new correction, let the guard judge, and decide; changes nothing.

    Args:
        keeper: solves and judges.
        serving: the head in use.
        seen: the picture's prediction.
        label: one of the labels, or a new one that may be added.
        number: the correction's id.
        force: accept what would be refused.
        said: what the head in use says of the picture, where that is known already.

    Returns:
        The candidate with its verdict.

    Raises:
        StateError: the active corrections cannot be read.
        RuntimeUnavailable: the engine cannot be had.
    """
    labels = serving.labels if label in serving.labels else (*serving.labels, label)
    before, place = keeper.evidence(serving), labels.index(label)
    evidence = (*before, Evidence(number, place, seen.seen))
    solution = keeper.solve(evidence, labels)
    judgement = keeper.guard.judge(serving.right, solution.head, place >= keeper.factory_labels)
    logits, was = said or _said(serving, seen)
    findings = keeper.finder.find(logits, serving.labels, before, seen.seen, label, solution.rows)
    now = rank(solution.head, labels, seen.seen, 1)[0]
    fault = "" if judgement.accepted else judgement.reason
    if now.label != label:
        fault = f"it could not be learned beside the {len(before)} corrections before it: still {now.label}"
    if fault and not force:
        verdict, reason = "refused", fault
    elif was.label == label:
        verdict, reason = "already_correct", f"it was right already and is remembered as evidence: {judgement.reason}"
    else:
        verdict, reason = "accepted", f"forced: {fault}" if fault else judgement.reason
    reason = "; ".join(filter(None, (reason, findings.words())))
    return Candidate(evidence, labels, label, solution, judgement, findings, was, now, verdict, reason, force)


def record(keeper: HeadKeeper, writer: Writer, serving: Serving, candidate: Candidate, seen: Prediction) -> tuple[Serving, Entry]:
    """Write the correction, and the new generation unless it is refused.

    Args:
        keeper: writes the generation.
        writer: of the open transaction.
        serving: the head in use.
        candidate: what `consider` found.
        seen: the picture's prediction.

    Returns:
        What serves once the transaction has committed, and the journal's entry.

    Raises:
        StateError: the journal cannot be written.
    """
    refused, after = candidate.verdict == "refused", serving
    if not refused:
        for name in candidate.labels[len(serving.labels) :]:
            writer.add_label(name)
        after = keeper.publish(writer, "correct", candidate.evidence, candidate.labels, candidate.solution, candidate.judgement.right)
    was, now = candidate.was, candidate.was if refused else candidate.now
    entry = Entry(
        id=writer.next_correction(), made_at=writer.moment, image=seen.image, sample_id=seen.sample_id, label=candidate.label,
        verdict=candidate.verdict, reason=candidate.reason, forced=candidate.force, was_label=was.label, was_probability=was.probability,
        now_label=now.label, now_probability=now.probability, steps=candidate.solution.steps, sentinel=candidate.judgement.sentinel,
        generation=after.generation, active=not refused, undone_at=None,
    )  # fmt: skip
    writer.add_correction(entry, seen.seen, seen.picture)
    return after, entry


def only_answer(keeper: HeadKeeper, serving: Serving, seen: Prediction, label: str, force: bool) -> Correction:
    """The answer where nothing is written: a picture that is right already, or a dry run; the caller knows the time.

    Raises:
        StateError: the active corrections cannot be read.
        RuntimeUnavailable: the engine cannot be had.
    """
    logits, was = said = _said(serving, seen)
    if was.label == label and not force:
        sentinel = keeper.guard.judge(serving.right, serving.head).sentinel
        reason = "it is right already; nothing was changed (--force remembers it as evidence)"
        findings = keeper.finder.find(logits, serving.labels, keeper.evidence(serving), seen.seen, label)
        return Correction(None, seen.image, label, "already_correct", reason, was, was, 0, sentinel, findings, serving.generation, 0)
    before = keeper.evidence(serving)
    found = consider(keeper, serving, seen, label, before[-1].id + 1 if before else 1, force, said)
    return Correction(
        None, seen.image, label, found.verdict, f"dry run, nothing was changed: {found.reason}", was, found.now,
        found.solution.steps, found.judgement.sentinel, found.findings, serving.generation, 0,
    )  # fmt: skip


def acknowledged(entry: Entry, findings: Findings, elapsed_ms: float) -> Correction:
    """The answer for a correction that is on the disk."""
    was, now = Ranked(entry.was_label, entry.was_probability), Ranked(entry.now_label, entry.now_probability)
    return Correction(
        entry.id, entry.image, entry.label, entry.verdict, entry.reason, was, now,
        entry.steps, entry.sentinel, findings, entry.generation, elapsed_ms,
    )  # fmt: skip
