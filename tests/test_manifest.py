from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from typing import Any

import pytest
from fake_artifact import fake_manifest, signed
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.errors import ArtifactError
from edge_agent.manifest import (
    FILE_LIMIT_BYTES,
    MANIFEST_LIMIT_BYTES,
    REQUIRED_FILES,
    FileEntry,
    GoldenFacts,
    ImageSpec,
    Manifest,
    ModelFacts,
    NewClass,
    ParityFacts,
    Producer,
    Quantization,
    SentinelFacts,
    StatisticsFacts,
    label_fault,
)

BASE: dict[str, Any] = json.loads(fake_manifest().to_bytes())

words = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=20).filter(str.isprintable)
reals = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(min_value=1e-9, max_value=1e9)
counts = st.integers(0, 10**12)
sizes = st.integers(1, 8192)
upto_a_million = st.integers(1, 1_000_000)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
names = st.from_regex(r"([a-z0-9_-][a-z0-9._-]{0,9}/)?[a-z0-9_-][a-z0-9._-]{0,9}", fullmatch=True).filter(lambda n: n != "manifest.json")


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    golden = draw(st.integers(1, 16))
    listed = [*REQUIRED_FILES, *(f"golden/{i:02}.png" for i in range(golden)), *draw(st.lists(names, max_size=3))]
    entries = st.builds(FileEntry, st.integers(0, FILE_LIMIT_BYTES), digests)
    return Manifest(
        model=draw(st.builds(ModelFacts, words, counts, digests, words, st.sampled_from(["linear", "other"]))),
        image=draw(
            st.builds(
                ImageSpec,
                st.tuples(sizes, sizes),
                sizes,
                st.sampled_from(["nearest", "bilinear", "bicubic"]),
                st.tuples(reals, reals, reals),
                st.tuples(positive, positive, positive),
            )
        ),
        classes=draw(upto_a_million),
        spare_classes=draw(st.integers(0, 100_000)),
        features=draw(upto_a_million),
        directions=draw(upto_a_million),
        capacity=draw(upto_a_million),
        temperature=draw(positive),
        taps=tuple(draw(st.lists(words, max_size=4))),
        new_class=draw(st.none() | st.builds(NewClass, reals, reals, reals, reals, reals, reals)),
        sentinel=draw(st.builds(SentinelFacts, counts, st.floats(0, 1), st.booleans())),
        statistics=draw(st.builds(StatisticsFacts, counts, counts, st.lists(words, max_size=3).map(tuple))),
        golden=GoldenFacts(golden, draw(positive)),
        parity=draw(st.builds(ParityFacts, reals, reals, reals, counts)),
        producer=draw(st.builds(Producer, words, words, words, words, words)),
        files={name: draw(entries) for name in listed},
        quantization=draw(st.none() | st.builds(Quantization, st.sampled_from(["int8", "float16"]), reals, reals, counts)),
    )


def places(value: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where a value can be replaced."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, entry in inside for place in places(entry, (*at, key)))]


def edited(place: tuple[str | int, ...], value: Any) -> bytes:
    """The fake manifest with one value replaced, and signed again."""
    content = copy.deepcopy(BASE)
    target: Any = content
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    return signed(content)


def refused(data: bytes) -> str:
    with pytest.raises(ArtifactError) as caught:
        Manifest.from_bytes(data)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    return str(caught.value)


# The law of the round trip


@given(manifests())
def test_written_and_read_again_is_equal(manifest: Manifest) -> None:
    data = manifest.to_bytes()
    assert Manifest.from_bytes(data) == manifest
    assert Manifest.from_bytes(data).to_bytes() == data


def test_bytes_are_canonical() -> None:
    data = fake_manifest().to_bytes()
    assert data == (json.dumps(BASE, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
    assert data == signed(BASE)
    assert BASE["format"] == "onnx-edge-agent"
    assert BASE["schema"] == 1
    without = {key: value for key, value in BASE.items() if key != "sha256"}
    text = json.dumps(without, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert BASE["sha256"] == hashlib.sha256(text.encode()).hexdigest()


def test_order_of_files_and_of_keys_is_no_matter() -> None:
    manifest = fake_manifest()
    other = dataclasses.replace(manifest, files=dict(reversed(manifest.files.items())))
    assert other.to_bytes() == manifest.to_bytes()
    turned = json.dumps(dict(reversed(BASE.items()))).encode()
    assert Manifest.from_bytes(turned) == manifest


def test_whole_number_may_stand_for_a_real_one() -> None:
    manifest = dataclasses.replace(fake_manifest(), temperature=1)
    again = Manifest.from_bytes(manifest.to_bytes())
    assert again == manifest
    assert type(again.temperature) is float


def test_no_new_class() -> None:
    manifest = dataclasses.replace(fake_manifest(), new_class=None)
    assert Manifest.from_bytes(manifest.to_bytes()).new_class is None


# Damage


def test_a_network_that_was_not_quantised_says_nothing_of_it() -> None:
    assert "quantization" not in BASE and Manifest.from_bytes(signed(BASE)).quantization is None
    facts = {"kind": "int8", "accuracy": 0.815, "float_accuracy": 0.82, "pictures": 1000}
    assert Manifest.from_bytes(signed({**BASE, "quantization": facts})).quantization == Quantization("int8", 0.815, 0.82, 1000)
    assert "'int4', expected int8 or float16" in refused(signed({**BASE, "quantization": {**facts, "kind": "int4"}}))
    assert "quantization has other keys: ['bits']" in refused(signed({**BASE, "quantization": {**facts, "bits": 8}}))


def test_a_model_card_may_lie_in_the_artifact_under_its_usual_name() -> None:
    entry = {"bytes": 3, "sha256": "0" * 64}
    assert "README.md" in Manifest.from_bytes(signed({**BASE, "files": {**BASE["files"], "README.md": entry}})).files


def test_flipped_bit_is_refused_or_changes_nothing() -> None:
    manifest, data = fake_manifest(), fake_manifest().to_bytes()
    for position in range(len(data)):
        flipped = bytearray(data)
        flipped[position] ^= 1 << position % 8
        try:
            again = Manifest.from_bytes(bytes(flipped))
        except ArtifactError:
            continue
        assert again == manifest, f"the flip at byte {position} was read as another manifest"  # an e of 1e-05 became an E


@given(st.data())
def test_damage_raises_nothing_but_our_error(data: st.DataObject) -> None:
    whole = fake_manifest().to_bytes()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    damaged = whole[:start] + data.draw(st.binary(max_size=8)) + whole[end:]
    if damaged != whole:
        refused(damaged)


@given(st.binary(max_size=200))
def test_any_bytes_raise_nothing_but_our_error(data: bytes) -> None:
    refused(data)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=200)
@given(st.sampled_from(places(BASE)[1:]), anything)
def test_any_value_anywhere_is_refused_or_read_as_a_manifest(place: tuple[str | int, ...], value: Any) -> None:
    try:
        manifest = Manifest.from_bytes(edited(place, value))
    except ArtifactError:
        return
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest


@pytest.mark.parametrize("place", [p for p in places(BASE) if p and isinstance(p[-1], str) and p[0] != "files"], ids=str)
def test_lost_key_is_refused(place: tuple[str | int, ...]) -> None:
    content = copy.deepcopy(BASE)
    target: Any = content
    for key in place[:-1]:
        target = target[key]
    del target[place[-1]]
    data = signed(content) if place != ("sha256",) else json.dumps(content).encode()
    assert "manifest.json" in refused(data)


@pytest.mark.parametrize("place", [(), ("model",), ("image",), ("new_class",), ("files", "backbone.onnx")], ids=str)
def test_unknown_key_is_refused(place: tuple[str | int, ...]) -> None:
    assert "extra" in refused(edited((*place, "extra"), 1))


@pytest.mark.parametrize("name", REQUIRED_FILES)
def test_lost_file_is_named(name: str) -> None:
    content = copy.deepcopy(BASE)
    del content["files"][name]
    assert name in refused(signed(content))


def test_golden_samples_are_all_listed() -> None:
    assert "golden/02.png" in refused(edited(("golden", "count"), 3))


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        ("model.name", 3, "model.name"),
        ("model.name", "\x1b[31mred", "model.name"),
        ("model.name", "\ud800", "manifest.json"),
        ("model.parameters", 1.0, "model.parameters"),
        ("model.parameters", True, "model.parameters"),
        ("image.crop_px", [64], "image.crop_px"),
        ("image.crop_px", [64, 64, 64], "image.crop_px"),
        ("image.crop_px", "64", "image.crop_px"),
        ("image.crop_px", [0, 64], "image"),
        ("image.crop_px", [64, 8193], "image"),
        ("image.resize_px", 0, "image"),
        ("image.interpolation", "lanczos", "lanczos"),
        ("image.mean", [0.5, 0.5, "0.5"], "image.mean[2]"),
        ("image.mean", [0.5, 0.5, None], "image.mean[2]"),
        ("image.std", [0.2, 0.0, 0.2], "image.std"),
        ("image.std", [0.2, -0.1, 0.2], "image.std"),
        ("classes", 0, "classes"),
        ("classes", -1, "classes"),
        ("classes", 1_000_001, "classes"),
        ("classes", 10**4000, "classes"),
        ("classes", "3", "classes"),
        ("features", 0, "features"),
        ("directions", 0, "directions"),
        ("capacity", 0, "capacity"),
        ("spare_classes", -1, "spare_classes"),
        ("spare_classes", 100_001, "spare_classes"),
        ("temperature", 0, "temperature"),
        ("temperature", -1.0, "temperature"),
        ("temperature", 10**400, "temperature"),
        ("temperature", "1", "temperature"),
        ("temperature", True, "temperature"),
        ("taps", {}, "taps"),
        ("taps", ["layer4", 4], "taps[1]"),
        ("new_class", [], "new_class"),
        ("sentinel", None, "sentinel"),
        ("sentinel.held_out", 1, "sentinel.held_out"),
        ("golden.count", 0, "golden"),
        ("golden.count", 17, "golden"),
        ("files", [], "files"),
        ("files", {}, "backbone.onnx"),
    ],
)
def test_wrong_value_is_refused_by_name(place: str, value: Any, named: str) -> None:
    assert named in refused(edited(tuple(place.split(".")), value))


@pytest.mark.parametrize(
    "value", [{"bytes": -1}, {"bytes": FILE_LIMIT_BYTES + 1}, {"sha256": "ab" * 31}, {"sha256": "AB" * 32}, {"bytes": 1.5}]
)
def test_wrong_file_entry_is_refused_by_name(value: dict[str, Any]) -> None:
    entry = {**BASE["files"]["backbone.onnx"], **value}
    assert "backbone.onnx" in refused(edited(("files", "backbone.onnx"), entry))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "../up",
        "/etc/passwd",
        "a/b/c",
        "a//b",
        "a/",
        "UPPER",
        ".hidden",
        "a/.hidden",
        "a/..",
        "manifest.json",
        "ä",
        "a b",
        "a\\b",
        "x\n",
        "x" * 65,
        "x" * 65 + "/y",
    ],
)
def test_file_name_outside_of_the_format_is_refused(name: str) -> None:
    assert "files has the name" in refused(edited(("files", name), {"bytes": 1, "sha256": "ab" * 32}))


@pytest.mark.parametrize("schema", [0, 2, True, 1.0, "1", None, [1]])
def test_other_schema_is_refused_with_the_way_out(schema: object) -> None:
    assert "update edge-agent" in refused(edited(("schema",), schema))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b'"onnx-edge-agent"',
        b"{}",
        b"not JSON",
        b"\xff\xfe",
        b'\xef\xbb\xbf{"format": "onnx-edge-agent"}',
        b'{"format": "other", "schema": 1}',
        b'{"format": "onnx-edge-agent", "format": "onnx-edge-agent"}',
        b'{"format": "onnx-edge-agent", "schema": NaN}',
        b'{"format": "onnx-edge-agent", "schema": -Infinity}',
        b"[" * 60_000,
        b'{"a":' * 12_000,
        b"9" * 60_000,
    ],
    ids=lambda data: repr(data[:30]),
)
def test_foreign_content_is_refused(data: bytes) -> None:
    assert "manifest.json" in refused(data)


def test_number_beyond_the_reals_is_refused() -> None:
    assert "finite" in refused(fake_manifest().to_bytes().replace(b'"temperature": 1.25', b'"temperature": 1e999'))


def test_repeated_key_is_refused_at_any_depth() -> None:
    assert "repeated" in refused(fake_manifest().to_bytes().replace(b'"sentinel": {', b'"sentinel": {"size": 6,'))


def test_too_long_is_refused_before_it_is_parsed() -> None:
    assert str(MANIFEST_LIMIT_BYTES) in refused(b" " * (MANIFEST_LIMIT_BYTES + 1))


# Labels


@pytest.mark.parametrize("label", ["cat", "tree frog", "Fröschlein", "蛙", "🐸", "a" * 128, "o'x", "-"])
def test_label_without_fault(label: str) -> None:
    assert label_fault(label) is None


@pytest.mark.parametrize(
    ("label", "fault"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("\t", "empty"),
        (" cat", "space"),
        ("cat ", "space"),
        ("cat\r", "space"),
        ("a\nb", "control"),
        ("a\x00b", "control"),
        ("a\x1b[0m", "control"),
        ("a\u202eb", "control"),
        ("\ud800", "control"),
        ("a" * 129, "129"),
    ],
)
def test_label_with_fault(label: str, fault: str) -> None:
    assert fault in str(label_fault(label))
