"""The trained part learns, and stops when the held-out pictures no longer profit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from edge_agent.errors import InputError
from export.learned import Epoch
from export.looks import Batch, Pictures
from export.recipe import RENEWED, Recipe

STALLED = 2  # passes without a smaller held-out loss, after which the step becomes smaller
SHRINK = 0.3
USUAL_MOMENTUM = 0.1  # of batch normalisation, PyTorch's own
LEFT_AFTER_A_PASS = 0.1  # of the statistics before it
EVALUATED = 256  # pictures per batch where nothing is learned


@dataclass(frozen=True, eq=False)
class Trainee:
    """What is trained.

    Attributes:
        above: values → logits.
        finetuned: parameters that go on from where they are.
        renewed: parameters that begin anew.
        set_training: puts it into training mode, or everything into evaluation mode.
    """

    above: nn.Module
    finetuned: Sequence[nn.Parameter]
    renewed: Sequence[nn.Parameter]
    set_training: Callable[[bool], None]


@dataclass(frozen=True)
class Course:
    """How it went.

    Attributes:
        curve: the epochs, from number 0, the network before.
        kept: the epoch whose weights it has now.
    """

    curve: tuple[Epoch, ...]
    kept: int


def train(
    trainee: Trainee, pictures: Pictures, held_out: Pictures, recipe: Recipe, seed: int, progress: Callable[[int, int], None]
) -> Course:
    """Train until the held-out loss stops falling, and go back to where it was least.

    Args:
        trainee: what to train; its numbers change, and nothing else.
        pictures: to learn from.
        held_out: to decide by.
        recipe: how.
        seed: of the order of the pictures and of dropout.
        progress: told how many passes of how many are done; at the end of all that were made.

    Returns:
        The course.

    Raises:
        InputError: the loss became infinite.
    """
    course = _Course(trainee, recipe)
    order = np.random.default_rng(seed)
    numbers = (*trainee.finetuned, *trainee.renewed)
    momenta = _quicken(trainee.above, -(-pictures.size // recipe.batch))
    for number in numbers:
        number.requires_grad_(True)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            course.note(None, evaluate(trainee, held_out.batches(0, None, EVALUATED)))
            while not course.over:
                progress(course.done, recipe.epochs)
                loss = _epoch(trainee, pictures.batches(course.done, order, recipe.batch), course.optimizer)
                course.note(loss, evaluate(trainee, held_out.batches(0, None, EVALUATED)))
    finally:
        trainee.set_training(False)
        for norm, momentum in momenta:
            norm.momentum = momentum
        for number in numbers:
            number.requires_grad_(False)
            number.grad = None
    trainee.above.load_state_dict(course.best)
    progress(course.done, course.done)
    return Course(tuple(course.curve), course.kept)


def evaluate(trainee: Trainee, batches: Iterator[Batch]) -> tuple[float, float]:
    """Mean cross-entropy and accuracy (0…1) in evaluation mode."""
    trainee.set_training(False)
    loss, right, count = 0.0, 0, 0
    with torch.no_grad():
        for values, labels in batches:
            logits = trainee.above(values)
            loss += float(nn.functional.cross_entropy(logits, labels, reduction="sum"))
            right += int((logits.argmax(1) == labels).sum())
            count += len(labels)
    return loss / count, right / count


class _Course:
    """The curve so far, the weights at its least, the optimizer and its step."""

    def __init__(self, trainee: Trainee, recipe: Recipe) -> None:
        groups = ((trainee.finetuned, recipe.learning_rate), (trainee.renewed, RENEWED * recipe.learning_rate))
        self.optimizer = torch.optim.AdamW(
            [{"params": list(numbers), "lr": rate} for numbers, rate in groups if numbers], weight_decay=recipe.weight_decay
        )
        self._plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(self.optimizer, factor=SHRINK, patience=STALLED - 1)
        self._trainee, self._recipe = trainee, recipe
        self.curve: list[Epoch] = []
        self.kept = 0
        self.best: dict[str, Tensor] = {}

    @property
    def done(self) -> int:
        return len(self.curve) - 1

    @property
    def over(self) -> bool:
        return self.done >= self._recipe.epochs or self.done - self.kept >= self._recipe.patience

    def note(self, loss: float | None, held: tuple[float, float]) -> None:
        if not math.isfinite(held[0]) or not math.isfinite(loss or 0.0):
            hint = "give a smaller --learning-rate; check --mean and --std"
            raise InputError(f"training diverged in pass {self.done + 1}: the loss is no number any more", hint)
        self.curve.append(Epoch(len(self.curve), loss, *held))
        if len(self.curve) == 1 or held[0] < self.curve[self.kept].held_out_loss:
            self.kept = self.done
            self.best = {name: value.clone() for name, value in self._trainee.above.state_dict().items()}
        if loss is not None:
            self._plateau.step(held[0])


def _quicken(above: nn.Module, steps: int) -> list[tuple[nn.modules.batchnorm._BatchNorm, float | None]]:
    """Let running statistics follow within a pass; returns the momenta as they were.

    A network made for a million pictures averages over hundreds of steps (mobilenet_v3: momentum 0.01); a pass over a few pictures has ten,
    and the held-out pictures would be judged with statistics of weights that are long gone.
    """
    least = max(USUAL_MOMENTUM, 1 - LEFT_AFTER_A_PASS ** (1 / steps))
    found = [(part, part.momentum) for part in above.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    for norm, momentum in found:
        norm.momentum = None if momentum is None else max(momentum, least)
    return found


def _epoch(trainee: Trainee, batches: Iterator[Batch], optimizer: torch.optim.Optimizer) -> float:
    total, count = 0.0, 0
    for values, labels in batches:
        trainee.set_training(True)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(trainee.above(values), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += float(loss.detach()) * len(labels)
        count += len(labels)
    return total / count
