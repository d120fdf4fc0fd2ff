from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from export_samples import LABELS, SPEC, Sample, picture, silent
from PIL import Image

from edge_agent.errors import InputError
from edge_agent.image import ImageLimits, open_picture, to_tensor
from edge_agent.manifest import ImageSpec
from export.dataset import Picture
from export.sentinel import golden_logits, golden_samples, run_sentinel
from export.written import WrittenBackbone

LIMITS = ImageLimits()


@pytest.fixture(scope="module")
def session(built: Path) -> WrittenBackbone:
    return WrittenBackbone(built / "backbone.onnx")


def test_sentinel_is_what_the_written_backbone_says(session: WrittenBackbone, sample: Sample) -> None:
    pictures = sample[2].sentinel
    found = run_sentinel(session, pictures, SPEC, LIMITS, silent)
    assert found.pictures == pictures and found.labels.tolist() == [p.label for p in pictures]
    assert found.logits.shape == (16, 4) and found.features.shape == (16, 20)
    one = session.run(to_tensor(open_picture(pictures[3].path, LIMITS), SPEC)[None])
    assert np.allclose(found.logits[3], one[0][0], atol=1e-5) and np.allclose(found.context[3], one[2][0], atol=1e-5)
    assert found.accuracy == np.mean(found.logits.argmax(1) == found.labels)


def test_sentinel_that_vanished(session: WrittenBackbone, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no sentinel picture can be read"):
        run_sentinel(session, [Picture(tmp_path / "gone.png", 0, "x")], SPEC, LIMITS, silent)


def test_golden_samples_are_spread_over_the_labels(session: WrittenBackbone, sample: Sample) -> None:
    found = golden_samples(session, sample[2].sentinel, SPEC, LIMITS)
    assert len(found.files) == 8 and found.logits.shape == (8, 4)
    assert found.tolerance >= 1e-3
    again = golden_samples(session, sample[2].sentinel, SPEC, LIMITS)
    assert again.files == found.files
    assert np.array_equal(golden_logits(session, found.files, SPEC, LIMITS), found.logits)


def test_golden_samples_are_lossless_and_bare(session: WrittenBackbone, tmp_path: Path) -> None:
    image = picture((200, 30, 30), 0, (50, 44))
    exif = Image.Exif()
    exif[0x010E] = "/home/alice/holiday"
    image.save(tmp_path / "a.jpg", exif=exif, quality=90, comment=b"/home/alice")
    found = golden_samples(session, [Picture(tmp_path / "a.jpg", 0, "a")], SPEC, LIMITS)
    assert len(found.files) == 1 and b"alice" not in found.files[0]
    back = Image.open(io.BytesIO(found.files[0]))
    assert back.format == "PNG" and np.array_equal(np.asarray(back), np.asarray(Image.open(tmp_path / "a.jpg")))


def test_large_pictures_are_made_small(session: WrittenBackbone, tmp_path: Path) -> None:
    picture((200, 30, 30), 0, (900, 300)).save(tmp_path / "a.png")
    found = golden_samples(session, [Picture(tmp_path / "a.png", 0, "a")], SPEC, LIMITS)
    assert Image.open(io.BytesIO(found.files[0])).size == (64, 21)


@pytest.mark.parametrize(("labels", "per_label", "expected"), [(30, 2, 8), (8, 3, 8), (3, 1, 3), (2, 10, 8)])
def test_how_many_and_of_which_labels(labels: int, per_label: int, expected: int, session: WrittenBackbone, tmp_path: Path) -> None:
    pictures = []
    for number in range(labels * per_label):
        path = tmp_path / f"{number}.png"
        picture((number, 30, 30), number, (33, 33)).save(path)
        pictures.append(Picture(path, number // per_label, str(number)))
    found = golden_samples(session, pictures, SPEC, LIMITS)
    assert len(found.files) == expected
    by_content = {np.asarray(Image.open(p.path)).tobytes(): p.label for p in pictures}
    chosen = [by_content[np.asarray(Image.open(io.BytesIO(content))).tobytes()] for content in found.files]
    assert chosen == sorted(chosen)
    assert max(Counter(chosen).values()) <= -(-expected // min(labels, 8)), "no label is shown more often than it must be"


def test_tolerance_grows_with_the_logits(session: WrittenBackbone, sample: Sample) -> None:
    found = golden_samples(session, sample[2].sentinel, SPEC, LIMITS)
    assert found.tolerance == pytest.approx(1e-3 * max(1, np.abs(found.logits).max()), abs=1e-6)


def test_every_label_is_in_the_sample(sample: Sample) -> None:
    assert {LABELS[p.label] for p in sample[2].sentinel} == set(LABELS)
    assert isinstance(SPEC, ImageSpec)
