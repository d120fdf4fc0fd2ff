from __future__ import annotations

import pytest
import torch
from torch import nn

from edge_agent.errors import InputError
from export import taps


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.mean((2, 3))
        if x.sum() > 0:  # the line that is at fault
            x = -x
        return self.last(x)


class Looping(Branching):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.stack([row.mean((1, 2)) for row in x]))


class Counting(Branching):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(x.mean((2, 3))) / len(x)


class Broken(Branching):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise KeyError("nothing here")


@pytest.mark.parametrize(
    ("kind", "line", "hint"),
    [
        (Branching, r"\(if x\.sum\(\) > 0:", r"take branches on tensor values out of forward\(\)"),
        (Looping, r"\(return self\.last\(torch\.stack", "loop over a fixed number of steps"),
        (Counting, r"\(return self\.last\(x\.mean", r"read x\.shape\[0\] instead of len\(x\)"),
        (Broken, r"\(raise KeyError", r"torch\.fx\.wrap"),
    ],
)
def test_line_node_and_remedy_are_named(kind: type[nn.Module], line: str, hint: str) -> None:
    found = rf"{kind.__name__} cannot be traced by torch\.fx: .* at test_untraceable\.py, line \d+ {line}"
    with pytest.raises(InputError, match=found) as caught:
        taps.trace(kind().eval())
    assert "after node " in caught.value.message and "\n" not in str(caught.value)
    with pytest.raises(InputError, match=hint):
        taps.trace(kind().eval())
