from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from edge_agent.errors import InputError
from edge_agent.image import PICTURE_SUFFIXES, ImageLimits, find_pictures, open_picture, read_picture_file, to_tensor
from edge_agent.manifest import ImageSpec

Photo = Callable[..., Image.Image]
LIMITS = ImageLimits()
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(seed: int, width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def refused(source: Any, limits: ImageLimits = LIMITS, name: str = "the picture") -> str:
    with pytest.raises(InputError) as caught:
        open_picture(source, limits, name)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    return str(caught.value)


def with_alpha(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def samples(photo: Image.Image) -> dict[str, bytes]:
    """The same picture in every mode that Pillow's four readers give."""
    palette, grey = photo.quantize(16), photo.convert("L")
    return {
        "png-1": encoded(photo.convert("1"), "PNG"),
        "png-L": encoded(grey, "PNG"),
        "png-L-transparent": encoded(grey, "PNG", transparency=int(grey.getpixel((3, 3)))),
        "png-LA": encoded(with_alpha(photo).convert("LA"), "PNG"),
        "png-P": encoded(palette, "PNG"),
        "png-P-one-transparent": encoded(palette, "PNG", transparency=3),
        "png-P-many-transparent": encoded(palette, "PNG", transparency=bytes(range(0, 160, 10))),
        "png-RGB": encoded(photo, "PNG"),
        "png-RGB-transparent": encoded(photo, "PNG", transparency=photo.getpixel((3, 3))),
        "png-RGBA": encoded(with_alpha(photo), "PNG"),
        "jpeg-L": encoded(grey, "JPEG"),
        "jpeg-RGB": encoded(photo, "JPEG"),
        "jpeg-RGB-progressive": encoded(photo, "JPEG", progressive=True),
        "jpeg-CMYK": encoded(photo.convert("CMYK"), "JPEG"),
        "jpeg-two-pictures": encoded(photo, "MPO", save_all=True, append_images=[photo.rotate(180)]),
        "bmp-1": encoded(photo.convert("1"), "BMP"),
        "bmp-L": encoded(grey, "BMP"),
        "bmp-P": encoded(palette, "BMP"),
        "bmp-RGB": encoded(photo, "BMP"),
        "bmp-RGBA": encoded(with_alpha(photo), "BMP"),
        "webp-RGB": encoded(photo, "WEBP"),
        "webp-RGBA": encoded(with_alpha(photo), "WEBP", lossless=True),
    }


SAMPLE_NAMES = sorted(samples(noise(0, 8, 8)))


@pytest.fixture(scope="session")
def sample_bytes(photo: Photo) -> dict[str, bytes]:
    return samples(photo())


@pytest.fixture(scope="session")
def preset() -> Callable[[ImageSpec, Image.Image], np.ndarray[Any, Any]]:
    """torchvision's preset with the numbers of a spec."""
    pytest.importorskip("torchvision", reason="torchvision, the oracle, is not installed here")
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms._presets import ImageClassification

    def run(spec: ImageSpec, image: Image.Image) -> np.ndarray[Any, Any]:
        kind = InterpolationMode[spec.interpolation.upper()]
        transform = ImageClassification(crop_size=1, resize_size=spec.resize_px, mean=spec.mean, std=spec.std, interpolation=kind)
        transform.crop_size = list(spec.crop_px)
        return transform(image).numpy()

    return run


# The same numbers as torchvision

sides = st.integers(1, 90)
specs = st.builds(
    ImageSpec,
    st.tuples(sides, sides),
    sides,
    st.sampled_from(["nearest", "bilinear", "bicubic"]),
    st.just(IMAGENET[0]) | st.tuples(*[st.floats(-1, 1, width=32)] * 3),
    st.just(IMAGENET[1]) | st.tuples(*[st.floats(0.125, 2, width=32)] * 3),
)


@given(specs, st.integers(0, 99), sides, sides)
@example(ImageSpec((64, 64), 64, "bilinear", *IMAGENET), 0, 32, 32)
@example(ImageSpec((224, 224), 256, "bilinear", *IMAGENET), 0, 90, 61)
@example(ImageSpec((224, 224), 232, "bicubic", *IMAGENET), 1, 61, 90)
@example(ImageSpec((33, 33), 8, "bilinear", *IMAGENET), 2, 9, 20)  # padded on both sides, by an odd number
@example(ImageSpec((5, 90), 7, "nearest", *IMAGENET), 3, 90, 1)
def test_tensor_is_that_of_torchvision(preset: Any, spec: ImageSpec, seed: int, width: int, height: int) -> None:
    image = noise(seed, width, height)
    tensor = to_tensor(open_picture(image, LIMITS), spec)
    assert tensor.shape == (3, *spec.crop_px)
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
    np.testing.assert_allclose(tensor, preset(spec, image), rtol=0, atol=1e-6)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("name", SAMPLE_NAMES)
def test_file_of_any_mode_is_that_of_torchvision(preset: Any, sample_bytes: dict[str, bytes], name: str, interpolation: str) -> None:
    spec = ImageSpec((28, 24), 30, interpolation, *IMAGENET)
    data = sample_bytes[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow would rather have RGBA for the transparency of a palette
        plain = Image.open(io.BytesIO(data)).convert("RGB")
    np.testing.assert_allclose(to_tensor(open_picture(data, LIMITS), spec), preset(spec, plain), rtol=0, atol=1e-6)


def test_tensor_is_the_formula_where_nothing_is_resized() -> None:
    image = noise(0, 12, 12)
    tensor = to_tensor(image, ImageSpec((12, 12), 12, "bilinear", *IMAGENET))
    expected = (np.asarray(image, np.float64) / 255 - IMAGENET[0]) / IMAGENET[1]
    np.testing.assert_allclose(tensor, expected.transpose(2, 0, 1), rtol=0, atol=1e-6)


def test_small_picture_is_padded_with_black() -> None:
    tensor = to_tensor(Image.new("RGB", (2, 2), "white"), ImageSpec((4, 4), 2, "bilinear", (0, 0, 0), (1, 1, 1)))
    assert np.array_equal(tensor[0], np.pad(np.ones((2, 2)), 1))


# Modes


@pytest.mark.parametrize("name", SAMPLE_NAMES)
def test_every_source_gives_the_same_picture(sample_bytes: dict[str, bytes], tmp_path: Path, name: str) -> None:
    data = sample_bytes[name]
    (tmp_path / "photo").write_bytes(data)
    opened = open_picture(data, LIMITS)
    assert opened.mode == "RGB"
    assert opened.size == (48, 36)
    lazy = Image.open(io.BytesIO(data))
    for source in (tmp_path / "photo", str(tmp_path / "photo"), lazy, np.asarray(opened)):
        assert open_picture(source, LIMITS).tobytes() == opened.tobytes()


@pytest.mark.parametrize("name", [name for name in SAMPLE_NAMES if not name.endswith("-1")])
def test_colours_survive_the_mode(sample_bytes: dict[str, bytes], photo: Photo, name: str) -> None:
    expected = np.asarray(photo().convert("L"), float)
    found = np.asarray(open_picture(sample_bytes[name], LIMITS).convert("L"), float)
    assert abs(found - expected).mean() < 12  # alpha is dropped, not blended


def test_sixteen_bits_are_scaled_whatever_is_in_them() -> None:
    eight = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for values in (eight, eight // 16, np.zeros_like(eight)):
        data = encoded(Image.fromarray(values.astype(np.uint16) * 257), "PNG")
        assert Image.open(io.BytesIO(data)).mode == "I;16"
        assert np.array_equal(open_picture(data, LIMITS), np.repeat(values[..., None], 3, 2))
    dark = Image.fromarray(np.full((4, 4), 200, np.uint16))
    assert np.asarray(open_picture(encoded(dark, "PNG"), LIMITS)).max() == 1


@pytest.mark.parametrize("kind", ["I;16", "I;16B", "I"])
def test_wide_pil_images(kind: str) -> None:
    values = np.array([[0, 257 * 7], [257 * 200, 65535]])
    dtype = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4"}[kind]
    image = Image.frombytes(kind, (2, 2), values.astype(dtype).tobytes())
    assert np.asarray(open_picture(image, LIMITS))[..., 0].tolist() == [[0, 7], [200, 255]]


def test_integers_of_eight_bits_stay() -> None:
    image = Image.fromarray(np.array([[0, 7], [200, 255]], np.int32))
    assert np.asarray(open_picture(image, LIMITS))[..., 1].tolist() == [[0, 7], [200, 255]]


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I", "I;16", "F"]
)
def test_pil_image_is_never_changed(photo: Photo, mode: str) -> None:
    image = photo() if mode == "RGB" else Image.new(mode, (9, 7)) if mode in ("PA", "RGBa", "LAB", "I;16") else photo().convert(mode)
    image.getexif()[0x0112] = 6
    image.info["exif"] = image.getexif().tobytes()
    before = (image.mode, image.size, image.tobytes(), dict(image.info), dict(image.getexif()))
    opened = open_picture(image, LIMITS)
    assert opened.mode == "RGB"
    assert opened.size == image.size[::-1]
    opened.paste("red", (0, 0, 5, 5))
    to_tensor(opened, ImageSpec((20, 20), 16, "bilinear", *IMAGENET))
    assert (image.mode, image.size, image.tobytes(), dict(image.info), dict(image.getexif())) == before


def test_mode_without_a_way_to_rgb_is_refused() -> None:
    assert "frame 7 cannot become RGB" in refused(Image.new("La", (4, 4)), name="frame 7")


def test_result_shares_no_memory_with_its_source(photo: Photo) -> None:
    image, array = photo(), np.array(photo())
    for source in (image, array):
        opened = open_picture(source, LIMITS)
        before = opened.tobytes()
        if isinstance(source, np.ndarray):
            source[:] = 0
        else:
            source.paste("red", (0, 0, 48, 36))
        assert opened.tobytes() == before


# Orientation and frames

UPRIGHT: dict[int, Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90,
}


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("JPEG", {})])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_applied(photo: Photo, kind: str, options: dict[str, Any], orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(photo(), kind, exif=exif, **options)
    stored = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.array_equal(open_picture(data, LIMITS), UPRIGHT[orientation](stored))
    assert np.array_equal(open_picture(Image.open(io.BytesIO(data)), LIMITS), UPRIGHT[orientation](stored))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_orientation_that_does_not_exist_changes_nothing(photo: Photo, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert open_picture(encoded(photo(), "PNG", exif=exif), LIMITS).tobytes() == photo().tobytes()


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0nonsense", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_broken_exif_is_no_reason_to_refuse(photo: Photo, exif: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert open_picture(encoded(photo(), "JPEG", exif=exif), LIMITS).size == (48, 36)


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_animation_gives_its_first_frame(photo: Photo, kind: str, options: dict[str, Any]) -> None:
    data = encoded(photo(0), kind, save_all=True, append_images=[photo(1), photo(2)], duration=50, **options)
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert open_picture(data, LIMITS).tobytes() == photo(0).tobytes()


# What is refused


def png_of(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def bmp_of(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def jpeg_of(width: int, height: int) -> bytes:
    data = encoded(Image.new("RGB", (16, 16)), "JPEG")
    return data.replace(b"\xff\xc0\x00\x11\x08\x00\x10\x00\x10", b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", height, width))


@pytest.mark.parametrize("side", [7072, 9999, 13_378, 40_000, 65_000])  # above ours, Pillow's warning, Pillow's error, …
@pytest.mark.parametrize("make", [png_of, bmp_of, jpeg_of])
def test_bomb_is_refused_by_its_header(make: Callable[[int, int], bytes], side: int, recwarn: pytest.WarningsRecorder) -> None:
    for action in ("error", "ignore"):
        warnings.simplefilter(action)
        message = refused(make(side, side))
        assert "limit" in message
        assert "cannot be read" not in message


def test_picture_at_the_limit_is_read(photo: Photo) -> None:
    for kind in ("PNG", "JPEG", "BMP", "WEBP"):
        data = encoded(photo(), kind)
        assert open_picture(data, ImageLimits(len(data), 48 * 36)).size == (48, 36)
        assert "48×36 pixels" in refused(data, ImageLimits(pixels=48 * 36 - 1))
        assert "bytes" in refused(data, ImageLimits(file_bytes=len(data) - 1))
    for source in (photo(), np.array(photo())):
        assert open_picture(source, ImageLimits(pixels=48 * 36)).size == (48, 36)
        assert "48×36 pixels" in refused(source, ImageLimits(pixels=48 * 36 - 1))


@pytest.mark.parametrize("size", [(1, 101), (101, 1), (1, 1_000_000)])
def test_thread_like_picture_is_refused(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size)
    assert "times" in refused(image)
    assert "times" in refused(encoded(image, "PNG"))
    assert "times" in refused(np.array(image))


def test_thread_like_picture_within_the_limit_is_read() -> None:
    tensor = to_tensor(open_picture(Image.new("RGB", (1, 100)), LIMITS), ImageSpec((64, 64), 72, "bilinear", *IMAGENET))
    assert tensor.shape == (3, 64, 64)


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
def test_picture_without_pixels_is_refused(size: tuple[int, int]) -> None:
    assert "pixels" in refused(Image.new("RGB", size))


@pytest.mark.parametrize("name", SAMPLE_NAMES)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6])
def test_truncated_picture_is_refused(sample_bytes: dict[str, bytes], tmp_path: Path, name: str, share: float) -> None:
    data = sample_bytes[name]
    if name == "jpeg-two-pictures":
        share /= 2  # the second one may well be broken
    path = tmp_path / "belt-017.jpg"
    path.write_bytes(data[: int(len(data) * share)])
    assert "belt-017.jpg" in refused(path)
    try:
        lazy = Image.open(path)
    except Exception:
        return
    with lazy:
        assert "the frame is damaged" in refused(lazy, name="the frame")


@settings(max_examples=300)
@given(st.data())
def test_damaged_picture_is_read_or_refused_with_our_error(sample_bytes: dict[str, bytes], data: st.DataObject) -> None:
    sound = bytearray(sample_bytes[data.draw(st.sampled_from(SAMPLE_NAMES))])
    header = data.draw(st.booleans())
    for _ in range(data.draw(st.integers(1, 6))):
        sound[data.draw(st.integers(0, min(len(sound), 120) - 1 if header else len(sound) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(sound[: data.draw(st.integers(len(sound) // 2, len(sound)))])
    for action in ("error", "ignore"):
        with warnings.catch_warnings():
            warnings.simplefilter(action)
            try:
                opened = open_picture(damaged, ImageLimits(pixels=1_000_000))
            except InputError:
                continue
            assert opened.mode == "RGB"


@given(st.binary(max_size=100))
def test_any_bytes_are_refused_with_our_error(data: bytes) -> None:
    refused(data)


def test_files_that_are_no_pictures(tmp_path: Path, photo: Photo) -> None:
    other = "not a JPEG, PNG, BMP or WebP picture"
    cases = {
        "text.jpg": (b"This is a letter.\n" * 100, other),
        "page.jpg": (b"<!doctype html><title>502</title>", other),
        "tiny.jpg": (b"\xff", other),
        "moving.png": (encoded(photo(), "GIF"), other),
        "scan.jpg": (encoded(photo(), "TIFF"), other),
        "print.jpg": (encoded(photo(), "EPS"), other),
        "empty.jpg": (b"", "is empty (0 bytes)"),
    }
    for name, (data, reason) in cases.items():
        (tmp_path / name).write_bytes(data)
        message = refused(tmp_path / name)
        assert name in message
        assert reason in message
        assert "object at 0x" not in message


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "broken.jpg").symlink_to("nowhere")
    for name, reason in {
        "folder.jpg": "directory",
        "pipe.jpg": "not a regular file",
        "loop.jpg": "cannot be read",
        "broken.jpg": "no such file",
        "missing.jpg": "no such file",
        "a\0b.jpg": "null",
        "a" * 5000: "too long",
    }.items():
        assert reason in refused(tmp_path / name)
        assert reason in refused(str(tmp_path / name))
    assert "no such file" in refused("")


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs /dev")
def test_device_is_refused() -> None:
    assert "not a regular file" in refused("/dev/zero")


def test_unreadable_file_is_our_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Any, flags: int) -> int:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.jpg").write_bytes(b"x")
    monkeypatch.setattr(os, "open", refuse)
    assert "a.jpg cannot be read: Permission denied" in refused(tmp_path / "a.jpg")


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors in /proc")
def test_no_descriptor_is_left_open(tmp_path: Path, photo: Photo) -> None:
    photo().save(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        open_picture(tmp_path / "a.png", LIMITS)
        refused(tmp_path)
        refused(tmp_path / "pipe")
    assert len(os.listdir("/proc/self/fd")) == before


def test_link_to_a_picture_is_read(tmp_path: Path, photo: Photo) -> None:
    photo().save(tmp_path / "a.png")
    (tmp_path / "b").symlink_to("a.png")
    assert open_picture(tmp_path / "b", LIMITS).tobytes() == photo().tobytes()
    assert read_picture_file(tmp_path / "b", LIMITS) == (tmp_path / "a.png").read_bytes()


def test_large_file_is_refused_before_it_is_read_whole(tmp_path: Path) -> None:
    with open(tmp_path / "a.jpg", "wb") as file:
        file.truncate(2**40)  # a hole, no bytes on the disk
    assert "larger than 1000 bytes" in refused(tmp_path / "a.jpg", ImageLimits(file_bytes=1000))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 3), np.int8),
        np.zeros((4, 4, 3), np.uint16),
        np.zeros((4, 4), bool),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 1), np.uint8),
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 0), np.uint8),
        np.array([["a"]]),
        np.array([[None]]),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_array_of_another_type_or_shape_is_refused(array: np.ndarray[Any, Any]) -> None:
    message = refused(array, name="frame 7")
    assert "frame 7" in message
    assert "uint8" in message


@given(st.integers(1, 30), st.integers(1, 30), st.booleans(), st.sampled_from(["plain", "flipped", "turned", "strided", "read-only"]))
def test_array_is_read_as_it_is(height: int, width: int, grey: bool, layout: str) -> None:
    array = np.random.default_rng(0).integers(0, 256, (height, width) if grey else (height, width, 3), np.uint8)
    if layout == "flipped":
        array = array[::-1, ::-1]
    elif layout == "turned":
        array = array.swapaxes(0, 1)
    elif layout == "strided":
        array = array[::2, ::2]
    array.flags.writeable = layout != "read-only"
    before = array.copy()
    found = np.asarray(open_picture(array, LIMITS))
    assert np.array_equal(found, np.repeat(array[..., None], 3, 2) if grey else array)
    assert np.array_equal(array, before)


@pytest.mark.parametrize(
    "source", [None, 3, 1.5, [[1, 2]], bytearray(b"x"), memoryview(b"x"), io.BytesIO(b"x")], ids=lambda s: type(s).__name__
)
def test_foreign_source_is_refused_by_its_type(source: object) -> None:
    assert type(source).__name__ in refused(source)


# Folders


def test_pictures_of_a_folder_are_found_in_order(tmp_path: Path) -> None:
    names = ["b.jpg", "a.JPEG", "c/d.png", "c/e.bmp", "z/y/x.WebP"]
    for name in [*names, "notes.txt", "c/jpg", "a.gif"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "broken.jpg").symlink_to("nowhere")
    assert find_pictures(tmp_path) == sorted(tmp_path / name for name in names)
    assert find_pictures(str(tmp_path)) == find_pictures(tmp_path)


def test_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing", "a\0b", "a" * 5000):
        with pytest.raises(InputError) as caught:
            find_pictures(folder)
        assert "cannot be listed" in str(caught.value) or all(suffix in caught.value.hint for suffix in PICTURE_SUFFIXES)
