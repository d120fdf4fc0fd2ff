"""How the workstation trains: every number that is not the network's own."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.errors import UsageError

MOST_EPOCHS = 10_000
MOST_RATE = 1.0


@dataclass(frozen=True)
class Recipe:
    """How what is not frozen is trained: AdamW, a smaller step where it stalls, the epoch with the least held-out loss.

    Attributes:
        epochs: at most so many passes over the pictures.
        patience: passes without a smaller held-out loss, after which it stops.
        learning_rate: of layers that are fine-tuned; those that begin anew take `RENEWED` times as much.
        flip: whether mirrored pictures mean the same.
        batch: pictures per step.
        held_out: share of each label's pictures that decide when to stop, 0…1.
        weight_decay: AdamW's.
    """

    epochs: int = 40
    patience: int = 6
    learning_rate: float = 3e-4
    flip: bool = True
    batch: int = 32
    held_out: float = 0.2
    weight_decay: float = 1e-3

    def check(self) -> None:
        """Refuse what no training can use.

        Raises:
            UsageError: with the option and what it may be.
        """
        if not 1 <= self.epochs <= MOST_EPOCHS:
            raise UsageError(f"--epochs is {self.epochs}, expected 1 to {MOST_EPOCHS}", "training stops by itself when it no longer helps")
        if not 0 < self.learning_rate <= MOST_RATE:
            raise UsageError(f"--learning-rate is {self.learning_rate:g}, expected more than 0, at most {MOST_RATE:g}", "0.0003 is usual")


RENEWED = 10.0  # times the learning rate, for layers that begin anew: they have further to go
