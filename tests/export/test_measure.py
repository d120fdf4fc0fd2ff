from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from export_samples import LABELS, SPEC, picture, silent, small_network
from torch import Tensor, nn

from edge_agent.errors import InputError
from edge_agent.image import ImageLimits, open_picture, to_tensor
from export import taps
from export.dataset import Picture, scan, split
from export.measure import measure
from export.tapped import Tapped

LIMITS = ImageLimits()


def tapped() -> Tapped:
    return Tapped(taps.cut(small_network(), 32, 32)).eval()


def pictures(photos: Path) -> tuple[Picture, ...]:
    return split(scan(photos), LABELS, 5000, silent).statistics


def test_measured_is_what_the_network_says(photos: Path) -> None:
    chosen = pictures(photos)
    found = measure(tapped(), chosen, SPEC, LIMITS, "here", silent)
    assert found.pictures == chosen and found.unreadable == ()
    assert found.logits.shape == (32, 4) and found.raw.shape == (32, 20 + 8 + 16)
    assert found.labels.tolist() == [p.label for p in chosen]
    one = torch.from_numpy(to_tensor(open_picture(chosen[5].path, LIMITS), SPEC))[None]
    with torch.no_grad():
        logits, features, earlier = tapped()(one)
    assert np.allclose(found.logits[5], logits[0], atol=1e-5)
    assert np.allclose(found.raw[5], torch.cat([features, earlier], 1)[0], atol=1e-5)


def test_progress_ends_at_the_end(photos: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    measure(tapped(), pictures(photos), SPEC, LIMITS, "here", lambda *call: seen.append(call))
    assert seen[-1] == ("here", 32, 32)


def test_unreadable_pictures_are_left_out_and_named(tmp_path: Path) -> None:
    picture((200, 0, 0), 1).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"\x89PNG")
    found = measure(tapped(), [Picture(tmp_path / "a.png", 1, "a"), Picture(tmp_path / "b.png", 2, "b")], SPEC, LIMITS, "here", silent)
    assert found.labels.tolist() == [1] and [u.path.name for u in found.unreadable] == ["b.png"]


def test_no_readable_picture(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(b"x")
    with pytest.raises(InputError, match=r"none of 1 pictures can be read; the first: .*b.png"):
        measure(tapped(), [Picture(tmp_path / "b.png", 0, "b")], SPEC, LIMITS, "here", silent)


class Exploding(nn.Module):
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits = image.mean((2, 3))
        return logits, logits / 0.0, logits


def test_not_a_number_is_refused_and_named(tmp_path: Path) -> None:
    picture((200, 0, 0), 1).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"NaN or Inf as features for 1 of 1 pictures, the first a.png"):
        measure(Exploding(), [Picture(tmp_path / "a.png", 0, "a")], SPEC, LIMITS, "here", silent)  # type: ignore[arg-type]
