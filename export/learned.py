"""What was trained at the workstation before the network was frozen: the choices by layer and the learning curve.

`build` gives it as `Fitted.learned` and `BuildReport.learned`, None where nothing was trained; the artifact keeps it as `learning.json`,
for reports and people. No device reads it.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.errors import ArtifactError

LEARNING = "learning.json"
ACTIONS = ("freeze", "finetune", "reinit")


@dataclass(frozen=True)
class Choice:
    """One option of the command line.

    Attributes:
        action: "freeze", "finetune" or "reinit".
        layers: a layer's name or a glob, as it was given.
    """

    action: str
    layers: str


@dataclass(frozen=True)
class Epoch:
    """One pass over the training pictures; number 0 is the network before the first.

    Attributes:
        number: from 0.
        loss: mean cross-entropy on the training pictures while they were learned from, augmented; None at number 0.
        held_out_loss: mean cross-entropy on the held-out pictures after it.
        held_out_accuracy: 0…1, on the same.
    """

    number: int
    loss: float | None
    held_out_loss: float
    held_out_accuracy: float


@dataclass(frozen=True)
class Learned:
    """What was trained.

    Attributes:
        choices: what the user said, in order; the last that names a layer counts.
        layers: the layers that were trained: the fewest names that cover them.
        trained: how many parameters were trained.
        parameters: how many the network has.
        pictures: how many were learned from.
        held_out: how many others decided when to stop; none of them is a sentinel picture.
        curve: the epochs in order, from number 0.
        kept: number of the epoch whose weights the artifact has: the one with the least held-out loss.
    """

    choices: tuple[Choice, ...]
    layers: tuple[str, ...]
    trained: int
    parameters: int
    pictures: int
    held_out: int
    curve: tuple[Epoch, ...]
    kept: int

    @property
    def before(self) -> Epoch:
        """The network before training, on the held-out pictures."""
        return self.curve[0]

    @property
    def best(self) -> Epoch:
        """The epoch whose weights were kept."""
        return self.curve[self.kept]

    def to_bytes(self) -> bytes:
        """The content of `learning.json`; `from_bytes` gives the same object back."""
        return (json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Learned:
        """Parse `learning.json`.

        Raises:
            ArtifactError: it is not what `to_bytes` writes.
        """
        try:
            content: dict[str, Any] = json.loads(data.decode("utf-8"))
            choices = tuple(Choice(**choice) for choice in content.pop("choices"))
            curve = tuple(Epoch(**epoch) for epoch in content.pop("curve"))
            found = cls(choices=choices, curve=curve, layers=tuple(content.pop("layers")), **content)
            if not 0 <= found.kept < len(found.curve):
                raise ValueError(f"kept is {found.kept}, of {len(found.curve)} epochs")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ArtifactError(f"{LEARNING} is not understood: {error}", "build the artifact again with edge-export") from None
        return found


def read_learned(artifact: Path) -> Learned | None:
    """What an artifact keeps of its training; None where nothing was trained.

    Args:
        artifact: its directory, already opened and verified.

    Raises:
        ArtifactError: the file is not understood.
    """
    path = artifact / LEARNING
    return Learned.from_bytes(path.read_bytes()) if path.is_file() else None
