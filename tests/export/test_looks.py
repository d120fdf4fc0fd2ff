from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from export_samples import LABELS, SPEC, silent, small_network

from edge_agent.errors import InputError
from edge_agent.image import ImageLimits
from export import dataset
from export.dataset import Picture
from export.halves import open_below, trace
from export.looks import Album, Seeing, even


@pytest.fixture(scope="module")
def pictures(photos: Path) -> list[Picture]:
    return list(dataset.split(dataset.scan(photos), LABELS, 100, silent).statistics)


def seeing(memory_bytes: int = 1 << 30, below: torch.fx.GraphModule | None = None) -> Seeing:
    return Seeing(below, SPEC, ImageLimits(), True, 5, memory_bytes)


def test_passes_have_different_looks_and_come_round(pictures: list[Picture]) -> None:
    album = Album(seeing(), pictures, 2)
    passes = [torch.cat([values for values, _ in album.batches(number, None, 8)]) for number in range(4)]
    assert not torch.equal(passes[0], passes[1]) and torch.equal(passes[0], passes[2]) and torch.equal(passes[1], passes[3])


def test_kept_or_not_the_looks_are_the_same(pictures: list[Picture]) -> None:
    kept, live = Album(seeing(), pictures, 2), Album(seeing(memory_bytes=10), pictures, 2)
    assert kept.fits and not live.fits
    for number in range(2):
        found = [album.batches(number, np.random.default_rng(1), 8) for album in (kept, live)]
        for one, other in zip(*found, strict=True):
            assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])
    third = [torch.cat([values for values, _ in album.batches(2, None, 99)]) for album in (kept, live)]
    assert not torch.equal(*third), "what is not kept need not come round"


def test_the_plain_look_is_what_the_device_sees(pictures: list[Picture]) -> None:
    ((values, labels),) = Album(seeing(), pictures[:6], 0).batches(3, None, 8)
    ((good, images, _),) = dataset.batches(pictures[:6], SPEC, ImageLimits(), 8)
    assert torch.equal(values, torch.from_numpy(images)) and labels.tolist() == [picture.label for picture in good]


def test_the_frozen_part_runs_once(pictures: list[Picture]) -> None:
    network = small_network()
    opened = open_below(trace(network), frozenset(id(number) for number in network.head[3].parameters()))
    calls: list[int] = []
    handle = network.stem[0].register_forward_hook(lambda _, given, __: calls.append(len(given[0])))
    album = Album(seeing(below=opened.below), pictures, 1)
    for number in range(5):
        assert sum(len(labels) for _, labels in album.batches(number, None, 4)) == len(pictures)
    handle.remove()
    assert sum(calls) == 2 * len(pictures), "once to see how large its output is, once for the five passes"


def test_pictures_that_cannot_be_read(pictures: list[Picture], tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    broken = Picture(tmp_path / "broken.png", 0, "ab" * 32)
    assert sum(len(labels) for _, labels in Album(seeing(), [broken, *pictures[:3]], 1).batches(0, None, 8)) == 3
    with pytest.raises(InputError, match="none of 1 pictures to learn from can be read"):
        Album(seeing(), [broken], 1)


@pytest.mark.parametrize(("count", "size"), [(33, 32), (1, 8), (64, 32), (65, 32), (3, 2)])
def test_no_last_batch_of_one(count: int, size: int) -> None:
    parts = even(np.arange(count), size)
    assert np.concatenate(parts).tolist() == list(range(count)) and max(map(len, parts)) <= size
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
