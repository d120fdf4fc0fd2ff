"""Who made an artifact: an Ed25519 signature over the manifest's bytes and a version, in `manifest.sig` beside it.

`artifacts/README.md` describes the file. The library `cryptography` is imported only where there is something to verify.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.errors import ArtifactError, RuntimeUnavailable, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SIGNATURE_NAME = "manifest.sig"
SIGNATURE_LIMIT_BYTES = 1024
KEYS_LIMIT_BYTES = 64 * 1024
VERSION_LIMIT = 10**18
HINT = "copy the artifact again, or have it signed again with edge-export sign"
_FORM = re.compile(rb"edge-agent-signature 1\nkey ([0-9a-f]{16})\nversion (0|[1-9][0-9]{0,17})\ned25519 ([A-Za-z0-9+/]{86}==)\n")
_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)


@dataclass(frozen=True)
class Signature:
    """What `manifest.sig` says.

    Attributes:
        key: the first 16 hex digits of the SHA-256 of the public key's 32 bytes; it says which key to try and proves nothing.
        version: which of two artifacts is the newer one.
        value: the 64 bytes of the signature.
    """

    key: str
    version: int
    value: bytes

    @classmethod
    def from_bytes(cls, data: bytes) -> Signature:
        """Parse the file.

        Raises:
            ArtifactError: it is not what `to_bytes` writes.
        """
        found = _FORM.fullmatch(data)
        if found is None:
            raise ArtifactError(f"{SIGNATURE_NAME} is not a signature of the kind that this version reads", HINT)
        try:
            value = base64.b64decode(found[3], validate=True)
        except binascii.Error:
            raise ArtifactError(f"{SIGNATURE_NAME} holds a damaged signature", HINT) from None
        signature = cls(found[1].decode(), int(found[2]), value)
        if signature.to_bytes() != data:  # base64 has spare bits: two texts must not mean one signature
            raise ArtifactError(f"{SIGNATURE_NAME} holds a damaged signature", HINT)
        return signature

    def to_bytes(self) -> bytes:
        """The file's content."""
        value = base64.b64encode(self.value).decode()
        return f"edge-agent-signature 1\nkey {self.key}\nversion {self.version}\ned25519 {value}\n".encode()


def signed_message(manifest: bytes, version: int) -> bytes:
    """The bytes that are signed: what they are, the version, and the manifest as it lies in its file."""
    return b"onnx-edge-agent artifact\nversion %d\n" % version + manifest


def key_id(public: bytes) -> str:
    """The short name of a public key: of its 32 bytes."""
    return hashlib.sha256(public).hexdigest()[:16]


def signature_in_words(signature: Signature | None, is_checked: bool) -> str:
    """The state of an artifact's signature, for people."""
    if signature is None:
        return "unsigned"
    checked = "checked" if is_checked else "not checked: no trusted key is set"
    return f"signed by key {signature.key}, version {signature.version}, {checked}"


def verify_signature(manifest: bytes, signature: Signature | None, trusted: str | os.PathLike[str]) -> Signature:
    """Hold an artifact to the keys that are trusted.

    Args:
        manifest: the content of `manifest.json`.
        signature: the one beside it, or None.
        trusted: a file of one or more public keys in PEM, as `edge-export keygen` writes them.

    Returns:
        The signature, which one of the keys made.

    Raises:
        ArtifactError: there is none, or none of the keys made it.
        UsageError: the file cannot be read, or holds no Ed25519 key.
        RuntimeUnavailable: the library `cryptography` is not installed.
    """
    keys = read_trusted_keys(trusted)
    from cryptography.exceptions import InvalidSignature

    if signature is None:
        raise ArtifactError("the artifact is unsigned, and a trusted key is set", "have it signed with edge-export sign")
    key = keys.get(signature.key)
    if key is None:
        found = f"the artifact is signed by key {signature.key}, trusted is {', '.join(keys)}"
        raise ArtifactError(found, "have it signed with the trusted key, or trust the other one")
    try:
        key.verify(signature.value, signed_message(manifest, signature.version))
    except InvalidSignature:
        raise ArtifactError(f"the signature of key {signature.key} does not fit the artifact's manifest and version", HINT) from None
    return signature


def read_trusted_keys(path: str | os.PathLike[str]) -> dict[str, Ed25519PublicKey]:
    """The public keys of a file, by their short names.

    Raises:
        UsageError: the file cannot be read, or holds no Ed25519 key.
        RuntimeUnavailable: the library `cryptography` is not installed.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError as error:
        missing = f"a trusted key is set, and signatures cannot be checked here: {error}"
        raise RuntimeUnavailable(missing, "pip install 'onnx-edge-agent[signed]'") from None
    hint = "give the .pub file that edge-export keygen wrote"
    try:
        with Path(path).open("rb") as file:
            data = file.read(KEYS_LIMIT_BYTES + 1)
        keys = [load_pem_public_key(block) for block in _PEM.findall(data)]
    except (OSError, ValueError) as error:
        raise UsageError(f"the trusted key {path} cannot be read: {error}", hint) from None
    except Exception as error:  # a kind of key that this build of the library does not know
        raise UsageError(f"the trusted key {path} cannot be read: {type(error).__name__}: {error}", hint) from None
    if not keys or len(data) > KEYS_LIMIT_BYTES or not all(isinstance(key, Ed25519PublicKey) for key in keys):
        raise UsageError(f"the trusted key {path} holds something other than Ed25519 public keys in PEM", hint)
    return {key_id(key.public_bytes_raw()): key for key in keys if isinstance(key, Ed25519PublicKey)}
