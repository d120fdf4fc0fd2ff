"""Signatures: what is signed cannot change, and what a signature file says means one thing only."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_artifact import fake_manifest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import ArtifactError, RuntimeUnavailable, UsageError
from edge_agent.signature import Signature, key_id, read_trusted_keys, signature_in_words, signed_message, verify_signature

pytest.importorskip("cryptography")
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

MANIFEST = fake_manifest().to_bytes()
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ID = key_id(KEY.public_key().public_bytes_raw())


def pem(key: Any) -> bytes:
    data: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return data


def by(key: Ed25519PrivateKey, version: int = 3, manifest: bytes = MANIFEST) -> Signature:
    return Signature(key_id(key.public_key().public_bytes_raw()), version, key.sign(signed_message(manifest, version)))


@pytest.fixture
def trusted(tmp_path: Path) -> Path:
    path = tmp_path / "trusted.pub"
    path.write_bytes(pem(KEY))
    return path


def test_what_was_signed_is_accepted(trusted: Path) -> None:
    assert verify_signature(MANIFEST, by(KEY), trusted) == by(KEY)


def test_one_of_several_keys_is_enough(trusted: Path) -> None:
    old = Ed25519PrivateKey.generate()
    trusted.write_bytes(b"# the old one\n" + pem(old) + b"\n# the new one\n" + pem(KEY))
    assert verify_signature(MANIFEST, by(KEY), trusted).key == ID
    assert verify_signature(MANIFEST, by(old), trusted).key != ID


def refused(manifest: bytes, signature: Signature | None, trusted: Path) -> str:
    with pytest.raises(ArtifactError) as caught:
        verify_signature(manifest, signature, trusted)
    assert caught.value.hint
    return caught.value.message


def test_everything_else_is_refused(trusted: Path) -> None:
    assert refused(MANIFEST, None, trusted) == "the artifact is unsigned, and a trusted key is set"
    stranger = Ed25519PrivateKey.generate()
    assert f"trusted is {ID}" in refused(MANIFEST, by(stranger), trusted)
    claimed = Signature(ID, 3, by(stranger).value)
    assert "does not fit" in refused(MANIFEST, claimed, trusted)
    newer = Signature(ID, 4, by(KEY, 3).value)
    assert "does not fit" in refused(MANIFEST, newer, trusted), "the version is signed too"
    assert "does not fit" in refused(MANIFEST.replace(b"resnet18", b"resnet19"), by(KEY), trusted)


@given(st.data())
def test_any_flipped_bit_of_manifest_or_signature_is_refused(data: st.DataObject) -> None:
    public = KEY.public_key()
    signature = by(KEY)
    place = data.draw(st.integers(0, len(MANIFEST) + 63))
    joined = bytearray(MANIFEST + signature.value)
    joined[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(InvalidSignature):
        public.verify(bytes(joined[len(MANIFEST) :]), signed_message(bytes(joined[: len(MANIFEST)]), 3))


@given(st.integers(0, 10**18 - 1), st.binary(min_size=64, max_size=64))
def test_written_signature_is_read_again(version: int, value: bytes) -> None:
    signature = Signature("0123456789abcdef", version, value)
    assert Signature.from_bytes(signature.to_bytes()) == signature


@given(st.data())
def test_a_text_means_one_signature(data: st.DataObject) -> None:
    sound = by(KEY).to_bytes()
    damaged = bytearray(sound)
    damaged[data.draw(st.integers(0, len(sound) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = Signature.from_bytes(bytes(damaged))
    except ArtifactError as error:
        assert "manifest.sig" in error.message
    else:
        assert read.to_bytes() == damaged


SOUND = by(KEY).to_bytes()


@pytest.mark.parametrize("damage", [b"", b"x", SOUND + b"\n", SOUND[:-1], SOUND.replace(b"\n", b"\r\n"), b" " + SOUND])
def test_other_forms_are_refused(damage: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"manifest\.sig is not a signature"):
        Signature.from_bytes(damage)


def test_keys_that_cannot_be_trusted(tmp_path: Path) -> None:
    path = tmp_path / "key"
    for content in (b"", b"nonsense", pem(ec.generate_private_key(ec.SECP256R1())), pem(KEY) + b" " * 70_000):
        path.write_bytes(content)
        with pytest.raises(UsageError, match="the trusted key"):
            read_trusted_keys(path)
    path.write_bytes(pem(KEY).replace(b"MCow", b"MCox"))
    with pytest.raises(UsageError, match="cannot be read"):
        read_trusted_keys(path)
    for missing in (tmp_path / "none", tmp_path, "a\0b"):
        with pytest.raises(UsageError, match="cannot be read"):
            read_trusted_keys(missing)


def test_missing_library_names_the_extra(trusted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("cryptography"):
            raise ImportError("No module named 'cryptography'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(RuntimeUnavailable, match="signatures cannot be checked here") as caught:
        verify_signature(MANIFEST, by(KEY), trusted)
    assert "onnx-edge-agent[signed]" in caught.value.hint


def test_words() -> None:
    assert signature_in_words(None, False) == "unsigned"
    assert signature_in_words(by(KEY), False) == f"signed by key {ID}, version 3, not checked: no trusted key is set"
    assert signature_in_words(by(KEY), True) == f"signed by key {ID}, version 3, checked"
    assert "edge_agent.signature" in sys.modules
