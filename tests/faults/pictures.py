"""F1: pictures that are not as they should be, from a seed: damaged, cut, bombs, animations, odd modes, turned, no files at all.

A trial is one picture through the public door, `EdgeAgent.predict`: by path, by bytes, or as something that is no regular file. Each brings
a prediction or `InputError`, within a second, and neither the state nor the memory grows.
"""

from __future__ import annotations

import io
import os
import struct
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from fault import Fault, Outcome
from on_device import ARTIFACT, PHOTOS, files_below
from PIL import Image
from poisoned import resident_mib

from edge_agent.agent import EdgeAgent
from edge_agent.errors import InputError
from edge_agent.settings import Settings

Rng = np.random.Generator
SLOWEST_S = 1.0
MOST_MIB = 128.0  # of growth: the largest picture that is let in has 4 megapixels here, in several copies
LIMITS = Settings(max_pixels=4_000_000, max_file_bytes=4 * 1024**2)
KINDS = ("JPEG", "PNG", "BMP", "WEBP")


def a_photo(rng: Rng) -> Image.Image:
    photo = Image.open(PHOTOS[int(rng.integers(len(PHOTOS)))]).convert("RGB")
    return photo.resize((int(rng.integers(1, 200)), int(rng.integers(1, 200)))) if rng.random() < 0.5 else photo


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def sound(rng: Rng) -> bytes:
    """A picture in one of the modes and formats that there are."""
    photo, kind = a_photo(rng), KINDS[int(rng.integers(4))]
    modes = {
        "JPEG": ("RGB", "L", "CMYK"), "PNG": ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"),
        "BMP": ("RGB", "L", "1"), "WEBP": ("RGB", "RGBA"),
    }  # fmt: skip
    mode = modes[kind][int(rng.integers(len(modes[kind])))]
    if mode == "I;16":
        photo = Image.fromarray(np.asarray(photo.convert("L"), np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112] = int(rng.integers(0, 12))
    options: dict[str, Any] = {"exif": exif} if kind in ("JPEG", "PNG", "WEBP") and rng.random() < 0.5 else {}
    if mode == "P" and rng.random() < 0.5:
        options["transparency"] = 0
    return encoded(photo if mode == "I;16" else photo.convert(mode), kind, **options)


def flipped(rng: Rng) -> bytes:
    data = bytearray(sound(rng))
    for place in rng.integers(0, len(data), int(rng.integers(1, 20))):
        data[place] ^= 1 << int(rng.integers(8))
    return bytes(data)


def overwritten(rng: Rng) -> bytes:
    data = bytearray(sound(rng))
    start = int(rng.integers(len(data)))
    data[start : start + int(rng.integers(1, 64))] = rng.bytes(int(rng.integers(1, 64)))
    return bytes(data)


def cut(rng: Rng) -> bytes:
    data = sound(rng)
    return data[: int(rng.integers(0, len(data)))]


def joined(rng: Rng) -> bytes:
    one, other = sound(rng), sound(rng)
    place = int(rng.integers(len(one)))
    return one[:place] + other[place:]


def noise(rng: Rng) -> bytes:
    heads = (b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF\x10\0\0\0WEBPVP8 ", b"GIF89a", b"%PDF-1.7", b"<svg>")
    return heads[int(rng.integers(len(heads)))] + rng.bytes(int(rng.integers(0, 2000)))


def a_png(width: int, height: int, data: bytes) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def bomb(rng: Rng) -> bytes:
    """A few bytes that claim, or really unpack to, more than anybody wants."""
    sides = (1, 1000, 2000, 3000, 60_000, 2**31 - 1)
    width, height = (sides[int(rng.integers(len(sides)))] for _ in range(2))
    if rng.random() < 0.3:
        return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, min(width, 2**31 - 1), -height, 1, 24, 0, 0, 0, 0, 0, 0)
    unpacks_to = int(rng.integers(0, 2_000_000))
    return a_png(width, height, zlib.compress(bytes(unpacks_to), 9))


def animation(rng: Rng) -> bytes:
    frames = [a_photo(rng).resize((40, 30)) for _ in range(int(rng.integers(2, 6)))]
    kind = ("PNG", "WEBP", "GIF")[int(rng.integers(3))]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    return data if rng.random() < 0.5 else data[: int(rng.integers(len(data)))]


def other_format(rng: Rng) -> bytes:
    """A sound picture of a format that is not read."""
    return encoded(a_photo(rng), ("GIF", "TIFF", "PPM", "ICO", "TGA", "PCX")[int(rng.integers(6))])


def broken_exif(rng: Rng) -> bytes:
    return encoded(a_photo(rng), "JPEG", exif=b"Exif\0\0" + rng.bytes(int(rng.integers(0, 200))))


MAKERS: tuple[Callable[[Rng], bytes], ...] = (
    sound, flipped, flipped, overwritten, cut, cut, joined, noise, bomb, animation, other_format, broken_exif,
)  # fmt: skip


def sources(rng: Rng, folder: Path) -> Iterator[tuple[str, bytes | str]]:
    """What is given to `predict`, and what it is; without end."""
    odd = folder / "odd"
    odd.mkdir()
    os.mkfifo(odd / "pipe.jpg")
    (odd / "folder.jpg").mkdir()
    (odd / "empty.jpg").write_bytes(b"")
    (odd / "nowhere.jpg").symlink_to(odd / "none")
    (odd / "circle.jpg").symlink_to(odd / "circle.jpg")
    strange = [*map(str, sorted(odd.iterdir())), str(odd / "missing.jpg"), "", "a\0b.jpg", "x" * 5000, "/dev/zero", "/dev/null"]
    while True:
        if rng.random() < 0.03:
            path = strange[int(rng.integers(len(strange)))]
            yield f"the path {path[-20:]!r}", path
            continue
        maker = MAKERS[int(rng.integers(len(MAKERS)))]
        data = maker(rng)
        if rng.random() < 0.3:  # under an ending that need not be the right one
            path = str(folder / f"picture{('.jpg', '.png', '.txt', '.webp', '')[int(rng.integers(5))]}")
            Path(path).write_bytes(data)
            yield f"{maker.__name__} by path", path
        else:
            yield maker.__name__, data


def run(trials: int, seed: int, folder: Path) -> Outcome:
    """Predict each; a trial can be made again with its number and the seed."""
    rng, failures, times, read = np.random.default_rng([seed, 1]), list[str](), list[float](), 0
    state = folder / "state"
    state.mkdir()
    agent = EdgeAgent.open(ARTIFACT, state, settings=LIMITS)
    agent.correct(PHOTOS[0], PHOTOS[0].parent.name)
    before, start = files_below(state), 0.0
    warnings.simplefilter("ignore")  # Pillow's, about pictures that are odd and can be read
    for number, (what, source) in zip(range(trials), sources(rng, folder), strict=False):
        started = time.perf_counter()
        try:
            read += agent.predict(source).label in agent.labels
        except InputError as error:
            if "\n" in str(error) or not error.hint:
                failures.append(f"{number}, {what}: not one line with a hint: {error!s:.200}")
        except BaseException as error:
            failures.append(f"{number}, {what}: {type(error).__name__}: {error!s:.200}")
        times.append(time.perf_counter() - started)
        if number == min(200, trials // 2):
            start = resident_mib()
    grown, p99 = resident_mib() - start, float(np.percentile(times, 99))
    if p99 > SLOWEST_S:
        failures.append(f"the 99th percentile of a trial is {p99:.2f} s")
    if grown > MOST_MIB:
        failures.append(f"memory grew by {grown:.0f} MiB")
    if files_below(state) != before:
        failures.append("the state changed")
    agent.close()
    facts = {"read": read, "p99 ms": round(p99 * 1000, 1), "slowest ms": round(max(times) * 1000, 1), "MiB": round(grown, 1)}
    return Outcome(trials, tuple(failures), facts)


FAULTS = (
    Fault(
        "F1", "malformed pictures: flips, cuts, bombs, animations, CMYK, 16 bit, EXIF turns, wrong endings, 0 bytes, FIFO, directory",
        "a prediction or our error; p99 ≤ 1 s; memory within its bound; state unchanged", "picture", 1000, 10_000, run,
    ),
)  # fmt: skip
