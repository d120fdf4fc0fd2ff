"""Pictures: a path, bytes, PIL image or array becomes the network's input, exactly as torchvision's preset does it.

The steps are those of `torchvision.transforms._presets.ImageClassification` on a PIL image: shorter side to `resize_px`, centre
crop, 0…1, minus mean, divided by standard deviation.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from edge_agent.errors import InputError
from edge_agent.manifest import ImageSpec

PictureSource: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8]"
PICTURE_FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


@dataclass(frozen=True)
class ImageLimits:
    """What is refused before it is decoded.

    Attributes:
        file_bytes: greatest size of a picture file.
        pixels: greatest width × height.
        aspect: greatest ratio of the longer to the shorter side; resizing multiplies the pixels of a thread-like picture by it.
    """

    file_bytes: int = 64 * 1024**2
    pixels: int = 50_000_000
    aspect: int = 100


def read_picture_file(path: str | os.PathLike[str], limits: ImageLimits) -> bytes:
    """The bytes of a picture file.

    Args:
        path: a regular file.
        limits: the size that is allowed.

    Returns:
        Its content, 1 to `limits.file_bytes` bytes.

    Raises:
        InputError: no such file, not a regular file, empty, too large or not readable.
    """
    try:
        with open(path, "rb", opener=_open_unblocked) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise InputError(f"{path} is not a regular file", "give a JPEG, PNG, BMP or WebP file")
            data = file.read(limits.file_bytes + 1)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", "check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"{path} cannot be read: {reason}", "give a JPEG, PNG, BMP or WebP file") from None
    if not data:
        raise InputError(f"{path} is empty (0 bytes)", "take the picture again")
    if len(data) > limits.file_bytes:
        raise InputError(f"{path} is larger than {limits.file_bytes} bytes", "make the picture smaller, or raise max_file_bytes")
    return data


def find_pictures(folder: str | os.PathLike[str]) -> list[Path]:
    """The picture files below a folder, by name, in sorted order.

    Raises:
        InputError: the folder holds no file with a picture's ending, or cannot be listed.
    """
    try:
        found = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES and os.path.isfile(p))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} cannot be listed: {error}", "give a folder of pictures") from None
    if not found:
        raise InputError(f"{folder} holds no pictures", f"expected files that end in {', '.join(PICTURE_SUFFIXES)}")
    return found


def open_picture(source: PictureSource, limits: ImageLimits, name: str = "the picture") -> Image.Image:
    """Decode a picture as a person sees it: EXIF orientation applied, in RGB.

    Args:
        source: a path, the bytes of a file, a PIL image, or a uint8 array `[H, W, 3]` or `[H, W]`.
        limits: sizes that are refused before decoding.
        name: what an error calls it; a path names itself.

    Returns:
        An RGB image of its own; the source is not changed.

    Raises:
        InputError: not a picture, of a format that is not read, truncated, too large, or an array of another shape or type.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, limits, name)
    if isinstance(source, Image.Image):
        _check_pixels(source, limits, name)
        return _decoded(source, name)
    if isinstance(source, (str, os.PathLike)):
        name, source = os.fspath(source), read_picture_file(source, limits)
    if not isinstance(source, bytes):
        raise InputError(f"{name} is a {type(source).__name__}", "give a path, bytes, a PIL image or a uint8 array")
    if not 0 < len(source) <= limits.file_bytes:
        raise InputError(f"{name} has {len(source)} bytes, expected 1 to {limits.file_bytes}", "take the picture again")
    try:
        image = Image.open(io.BytesIO(source), formats=PICTURE_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # the second one where warnings are errors
        raise InputError(f"{name} has too many pixels: {error}", "make the picture smaller") from None
    except Exception as error:  # Pillow's readers raise half a dozen kinds on broken headers
        reason = "not a JPEG, PNG, BMP or WebP picture" if isinstance(error, UnidentifiedImageError) else str(error)
        raise InputError(f"{name} cannot be read: {reason}", "open it in a viewer; convert it to JPEG or PNG") from None
    _check_pixels(image, limits, name)
    return _decoded(image, name)


def to_tensor(image: Image.Image, spec: ImageSpec) -> NDArray[np.float32]:
    """The network's input for an RGB image.

    Args:
        image: in RGB, of any size.
        spec: sizes, interpolation, mean and standard deviation of the artifact.

    Returns:
        float32 `[3, H, W]`, equal to torchvision's preset on the same image to 1e-6.

    Source: `torchvision.transforms.functional.resize`, `center_crop`, `normalize`.
    """
    pixels = np.asarray(_cropped(_resized(image, spec), spec.crop_px))
    tensor = np.empty((3, *pixels.shape[:2]), np.float32)
    for channel, plane in enumerate(tensor):  # a plane at a time and in place: the same bits in a quarter of the time
        np.divide(pixels[..., channel], np.float32(255), out=plane, dtype=np.float32)
        np.subtract(plane, np.float32(spec.mean[channel]), out=plane)
        np.divide(plane, np.float32(spec.std[channel]), out=plane)
    return tensor


def _open_unblocked(path: str, flags: int) -> int:
    """An opener for `open` that does not wait for the other end of a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_pixels(image: Image.Image, limits: ImageLimits, name: str) -> None:
    width, height = image.size
    if width * height > limits.pixels:
        found = f"{width}×{height} pixels, the limit is {limits.pixels}"
        raise InputError(f"{name} has {found}", "make the picture smaller, or raise max_pixels")
    if width * height == 0:
        raise InputError(f"{name} has {width}×{height} pixels", "take the picture again")
    if max(width, height) > limits.aspect * min(width, height):
        found = f"{width}×{height} pixels, one side over {limits.aspect} times the other"
        raise InputError(f"{name} has {found}", "cut the picture to its subject")


def _decoded(image: Image.Image, name: str) -> Image.Image:
    try:
        image.load()
    except Exception as error:  # truncated or broken data: OSError, SyntaxError, struct.error, zlib.error, …
        raise InputError(f"{name} is damaged: {error}", "take or copy the picture again") from None
    with contextlib.suppress(Exception):  # a broken EXIF block is no reason to refuse sound pixels: they stay as they lie in the file
        image = ImageOps.exif_transpose(image)
    try:
        return _to_rgb(image)
    except ValueError as error:  # a mode that Pillow itself has no way out of, such as La
        raise InputError(f"{name} cannot become RGB: {error}", "convert it first") from None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits per pixel; Pillow's own conversion would clip at 255
        wide = np.asarray(image, np.float64)
        eight_bits = image.mode == "I" and wide.max() <= 255  # an array's 32-bit integers say nothing of their range; a PNG's 16 do
        narrow = np.clip(np.round(wide if eight_bits else wide / 257), 0, 255).astype(np.uint8)
        return Image.fromarray(narrow).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def _from_array(array: NDArray[np.uint8], limits: ImageLimits, name: str) -> Image.Image:
    shape_fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if array.dtype != np.uint8 or not shape_fits or array.size == 0:
        found = f"{array.dtype} of shape {array.shape}"
        raise InputError(f"{name}: the array is {found}, expected uint8 of shape (H, W, 3) or (H, W)", "convert it first")
    image = Image.fromarray(array)
    _check_pixels(image, limits, name)
    return image.convert("RGB")


def _resized(image: Image.Image, spec: ImageSpec) -> Image.Image:
    width, height = image.size
    short, long = sorted((width, height))
    if short == spec.resize_px:
        return image
    new_long = int(spec.resize_px * long / short)
    size = (spec.resize_px, new_long) if width <= height else (new_long, spec.resize_px)
    return image.resize(size, Image.Resampling[spec.interpolation.upper()])


def _cropped(image: Image.Image, crop_px: tuple[int, int]) -> Image.Image:
    """Centre crop; a side that is too short is padded with black first, as torchvision does."""
    height, width = crop_px
    missing_x, missing_y = max(width - image.width, 0), max(height - image.height, 0)
    if missing_x or missing_y:
        padded = Image.new("RGB", (image.width + missing_x, image.height + missing_y))
        padded.paste(image, (missing_x // 2, missing_y // 2))
        image = padded
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))
