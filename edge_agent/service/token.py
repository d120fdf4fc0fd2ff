"""The token: where it comes from, and whether a request has it."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from edge_agent.errors import UsageError

VARIABLE = "EDGE_AGENT_TOKEN"
SHORTEST, LONGEST = 16, 512
_MAKE_ONE = "make one: (umask 077; head -c 32 /dev/urandom | base64 > FILE), then --token-file FILE"
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*")


class Token:
    """The one token of a service; its text is kept as a digest alone, and never shown."""

    def __init__(self, text: str) -> None:
        """Take a token.

        Raises:
            UsageError: it is too short to be safe, or has characters that `Authorization: Bearer` cannot carry.
        """
        if not SHORTEST <= len(text) <= LONGEST:
            raise UsageError(f"the token has {len(text)} characters, expected {SHORTEST} to {LONGEST}", _MAKE_ONE)
        if not _TOKEN68.fullmatch(text):
            raise UsageError("the token has characters other than letters, digits and ._~+/-, with = at its end", _MAKE_ONE)
        self._digest = digest_of(text.encode())

    def fits(self, digest: bytes) -> bool:
        """Whether a digest of what a client sent is this token's; takes the same time either way."""
        return hmac.compare_digest(self._digest, digest)


def digest_of(sent: bytes) -> bytes:
    """SHA-256 of what a client sent; of the same length whatever it was."""
    return hashlib.sha256(sent).digest()


def load_token(file: Path | None, environment: Mapping[str, str]) -> Token:
    """The token of a file, else of `EDGE_AGENT_TOKEN`.

    Args:
        file: holds the token and white space around it.
        environment: usually `os.environ`.

    Returns:
        The token.

    Raises:
        UsageError: there is none, the file cannot be read or may be read by everybody, or the token cannot be one.
    """
    if file is not None:
        return Token(_file_text(file))
    text = environment.get(VARIABLE, "").strip()
    if not text:
        raise UsageError(f"no token: neither --token-file nor {VARIABLE} was given", _MAKE_ONE)
    return Token(text)


def _file_text(file: Path) -> str:
    try:
        with open(file, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as opened:
            found = os.fstat(opened.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise UsageError(f"token file {file} is not a regular file", _MAKE_ONE)
            if os.name == "posix" and found.st_mode & stat.S_IROTH:
                raise UsageError(f"token file {file} may be read by everybody (mode {stat.S_IMODE(found.st_mode):o})", f"chmod 600 {file}")
            return opened.read(LONGEST + 64).decode("ascii").strip()
    except OSError as error:
        raise UsageError(f"token file {file} cannot be read: {error.strerror}", _MAKE_ONE) from None
    except UnicodeDecodeError:
        raise UsageError(f"token file {file} is not a line of text", _MAKE_ONE) from None
