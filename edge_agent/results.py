"""What the agent answers with: frozen data, one class for each question."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from edge_agent.findings import Findings
from edge_agent.guard import SentinelReport
from edge_agent.runtime import Seen


@dataclass(frozen=True)
class Ranked:
    """A label with its probability (0…1)."""

    label: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """What the classifier says of one picture.

    Attributes:
        image: the picture's name as it was given, or None.
        label: the most probable label.
        probability: its probability (0…1), calibrated on the sentinel set.
        top: the most probable labels, the first one first.
        sample_id: names the pixels that the network saw.
        generation: number of the head that answered; 0 is the factory's.
        elapsed_ms: time from the picture to the answer.
        artifact: digest of the artifact; a prediction can only be corrected by an agent of the same one.
        seen: what the backbone saw, so that a correction need not run it again.
        picture: the picture's file, where it came from one; kept with a correction.
    """

    image: str | None
    label: str
    probability: float
    top: tuple[Ranked, ...]
    sample_id: str
    generation: int
    elapsed_ms: float
    artifact: str = field(repr=False, compare=False)
    seen: Seen = field(repr=False, compare=False)
    picture: bytes | None = field(repr=False, compare=False)

    def as_json(self) -> dict[str, object]:
        """The keys of `predict --json`."""
        facts = {name: getattr(self, name) for name in ("image", "label", "probability", "sample_id", "generation", "elapsed_ms")}
        return {**facts, "top": [asdict(ranked) for ranked in self.top]}


@dataclass(frozen=True)
class Correction:
    """What became of one correction.

    Attributes:
        id: its number in the journal; None when nothing was recorded (a dry run, or a picture that was right).
        image: the picture's name, or None.
        label: what the person said.
        verdict: "accepted", "already_correct" or "refused".
        reason: in words.
        was: the prediction before.
        now: the prediction of the head that serves from now on; of the candidate in a dry run.
        steps: gradient steps taken.
        sentinel: what the guard measured.
        generation: number of the head that serves from now on.
        elapsed_ms: time from the call to the acknowledgement, the commit to disk included.
    """

    id: int | None
    image: str | None
    label: str
    verdict: str
    reason: str
    was: Ranked
    now: Ranked
    steps: int
    sentinel: SentinelReport
    findings: Findings
    generation: int
    elapsed_ms: float


@dataclass(frozen=True)
class Undo:
    """What became of taking corrections back.

    Attributes:
        ids: the corrections that were taken back.
        generation: number of the head that serves from now on.
        active: corrections that remain.
        head_sha256: digest of the head that serves from now on; equal digests are equal heads, bit for bit.
    """

    ids: tuple[int, ...]
    generation: int
    active: int
    head_sha256: str


@dataclass(frozen=True)
class AgentInfo:
    """What is running: artifact, runtime, engine, state.

    Attributes:
        artifact: path of the artifact.
        artifact_sha256: digest of its manifest, which names every file's.
        model: the network's name.
        labels: how many labels there are, added ones included.
        spare_classes: how many can still be added.
        image_px: `(H, W)` of the network's input.
        onnxruntime: version.
        provider: the provider in use.
        provider_reason: why that one.
        engine: the engine that trains the head.
        engine_reason: why that one.
        state: path of the state directory.
        generation: number of the head in use; 0 is the factory's.
        head_sha256: digest of the head in use.
        corrections: how many are active.
        capacity: how many rows the head can remember.
        factory_accuracy: of the factory head on the sentinel set (0…1).
        sentinel_accuracy: of the head in use on the sentinel set (0…1).
        signature: whether the artifact is signed, by which key, and whether that was checked, in words.
    """

    artifact: str
    artifact_sha256: str
    model: str
    labels: int
    spare_classes: int
    image_px: tuple[int, int]
    onnxruntime: str
    provider: str
    provider_reason: str
    engine: str
    engine_reason: str
    state: str
    generation: int
    head_sha256: str
    corrections: int
    capacity: int
    factory_accuracy: float
    sentinel_accuracy: float
    signature: str
