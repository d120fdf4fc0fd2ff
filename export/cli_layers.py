"""The options that choose layers: `--freeze`, `--finetune`, `--reinit`, in the order of the command line across all three."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from export.learned import ACTIONS, Choice
from export.recipe import RENEWED, Recipe

Command = TypeVar("Command", bound=Callable[..., Any])
ORDER = "export.cli_layers.order"
TEXTS = {
    "freeze": "Layers that stay as they are; may be repeated, the last choice counts.",
    "finetune": "Layers that are trained on from their weights: a name, a glob, or head.",
    "reinit": "Layers that are trained from scratch; of the last layer: a new task.",
}


class OrderedCommand(click.Command):
    """Notes in which order the three options were given: click itself keeps the order within each of them only."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse twice: for the order, and as always."""
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        ctx.meta[ORDER] = tuple(str(parameter.name) for parameter in order if parameter.name in ACTIONS)
        return super().parse_args(ctx, args)


def layer_options(command: Command) -> Command:
    """The three options."""
    for action in reversed(ACTIONS):
        command = click.option(f"--{action}", multiple=True, metavar="NAME|GLOB", help=TEXTS[action])(command)
    return command


def training_options(command: Command) -> Command:
    """How what is not frozen is trained."""
    usual = Recipe()
    for option in reversed((
        click.option("--epochs", type=int, default=usual.epochs, show_default=True, metavar="N", help="Most passes; it stops earlier."),
        click.option("--learning-rate", type=float, default=usual.learning_rate, show_default=True, metavar="RATE",
                     help=f"Of layers that are fine-tuned; {RENEWED:g} times as much from scratch."),
        click.option("--no-flip", is_flag=True, help="Mirrored pictures mean something else, such as text: do not train on them."),
    )):  # fmt: skip
        command = option(command)
    return command


def choices_in_order(given: Mapping[str, Sequence[str]]) -> tuple[Choice, ...]:
    """The choices in the order of the command line.

    Args:
        given: action → its values, each in their order.
    """
    values = {action: iter(layers) for action, layers in given.items()}
    order = click.get_current_context().meta[ORDER]
    return tuple(Choice(action, next(values[action])) for action in order)
