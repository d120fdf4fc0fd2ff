"""Keys and signatures of artifacts: Ed25519, by the library `cryptography`; what is signed is in `edge_agent/signature.py`."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from edge_agent.artifact import Artifact
from edge_agent.errors import InputError, RuntimeUnavailable, UsageError
from edge_agent.signature import SIGNATURE_NAME, VERSION_LIMIT, Signature, key_id, signed_message

KEY_LIMIT_BYTES = 16 * 1024


@dataclass(frozen=True)
class KeyPair:
    """What `keygen` wrote: the two files and the key's short name."""

    private: Path
    public: Path
    key: str


@dataclass(frozen=True)
class Signed:
    """What `sign` wrote: the file, the key's short name, the version, and the digest of the artifact."""

    file: Path
    key: str
    version: int
    artifact_sha256: str


def keygen(private: Path) -> KeyPair:
    """Make a key pair: the private key in PKCS #8 PEM, for its owner alone, and beside it the public one, whose name ends in `.pub`.

    Args:
        private: the file of the private key; neither it nor the other may exist.

    Raises:
        UsageError: one of the files exists.
        InputError: they cannot be written.
        RuntimeUnavailable: the library `cryptography` is not installed.
    """
    _require_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    public = private.with_name(f"{private.name}.pub")
    for path in (private, public):
        if os.path.lexists(path):
            raise UsageError(f"{path} exists", "give a new name: a key that is lost cannot be made again")
    made = Ed25519PrivateKey.generate()
    _write(private, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    _write(public, made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), 0o644)
    return KeyPair(private, public, key_id(made.public_key().public_bytes_raw()))


def sign(folder: Path, key_file: Path, version: int | None, now: datetime) -> Signed:
    """Sign an artifact: `manifest.sig` beside its manifest; a signature that lies there is replaced.

    Args:
        folder: the artifact, which is opened and verified first.
        key_file: the private key that `keygen` wrote.
        version: a device that saw a greater one refuses this artifact; by default the time, as 20260131235959.
        now: the time, in UTC.

    Raises:
        ArtifactError: the artifact is not sound.
        UsageError: the version is out of range, or the key cannot be read or is of another kind.
        InputError: the signature cannot be written.
        RuntimeUnavailable: the library `cryptography` is not installed.
    """
    _require_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    version = int(now.strftime("%Y%m%d%H%M%S")) if version is None else version
    if not 1 <= version < VERSION_LIMIT:
        raise UsageError(f"--version is {version}, expected 1 to {VERSION_LIMIT - 1}", "leave it out to take the time")
    hint = "give the file that edge-export keygen wrote, not the one that ends in .pub"
    try:
        with key_file.open("rb") as file:
            private = load_pem_private_key(file.read(KEY_LIMIT_BYTES), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"the key {key_file} cannot be read: {error}", hint) from None
    if not isinstance(private, Ed25519PrivateKey):
        raise UsageError(f"the key {key_file} is no Ed25519 key", hint)
    artifact = Artifact.open(folder)
    value = private.sign(signed_message(artifact.manifest.to_bytes(), version))
    signature = Signature(key_id(private.public_key().public_bytes_raw()), version, value)
    _write(folder / SIGNATURE_NAME, signature.to_bytes(), 0o644)
    return Signed(folder / SIGNATURE_NAME, signature.key, version, artifact.digest)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Beside its name, synchronised, then renamed: whole or not at all, and never readable for others while it is written."""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, mode)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}", "name a file in a folder that exists and can be written") from None


def _require_cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise RuntimeUnavailable(f"signing needs the library cryptography: {error}", "pip install 'onnx-edge-agent[signed]'") from None
