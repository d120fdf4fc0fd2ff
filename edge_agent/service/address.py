"""Where the service listens, and by which names it may be asked: a Unix socket or loopback, unless more is said."""

from __future__ import annotations

import ipaddress
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from edge_agent.errors import RuntimeUnavailable, UsageError

_REMOTE = "--allow-remote says that other machines may ask; put TLS before it: a token is readable on the way"


@dataclass(frozen=True)
class Address:
    """Where to listen.

    Attributes:
        socket_path: of a Unix socket, or None.
        host: a numeric address, or "localhost".
        port: 0 lets the system choose.
        hosts: further names by which clients may ask, each with its port where that is not 80.
        is_remote: whether other machines may ask.
    """

    socket_path: Path | None
    host: str
    port: int
    hosts: tuple[str, ...] = ()
    is_remote: bool = False

    def __post_init__(self) -> None:
        """Refuse what is not safe by default.

        Raises:
            UsageError: another address than loopback without --allow-remote, or every address without a name to be asked by.
        """
        for name in self.hosts:
            if not name.isascii() or not name.isprintable() or any(character in name for character in " /@?#\\") or not name:
                raise UsageError(f"--allow-host {name!r} is no host", "give a name such as camera-7.local:8765")
        if self.socket_path is not None:
            return
        address = self._numeric()
        if not address.is_loopback and not self.is_remote:
            raise UsageError(f"--host {self.host} is not this machine alone", _REMOTE)
        if address.is_unspecified and not self.hosts:
            raise UsageError(f"--host {self.host} is every address, and none to be asked by", "name it: --allow-host camera-7.local:8765")

    def allowed_hosts(self, port: int) -> frozenset[str]:
        """What the Host header may be, in small letters.

        Args:
            port: the one that the socket has; 0 for a Unix socket.
        """
        names = {name.lower() for name in self.hosts}
        if self.socket_path is not None:
            return frozenset(names | {"localhost"})
        address = self._numeric()
        if address.is_loopback:
            names |= {f"{name}:{port}" for name in ("localhost", "127.0.0.1", "[::1]")}
        if not address.is_unspecified:
            names.add(f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}")
        return frozenset(names | {name.removesuffix(":80") for name in names if name.endswith(":80")})

    def listen(self) -> socket.socket:
        """Open the socket; of a Unix socket only this user may connect.

        Raises:
            RuntimeUnavailable: it cannot be opened: in use, not permitted, no such address.
        """
        try:
            return self._unix() if self.socket_path is not None else self._tcp()
        except OSError as error:
            where, reason = self.socket_path or f"{self.host}:{self.port}", error.strerror or error
            raise RuntimeUnavailable(f"{where} cannot be listened on: {reason}", "choose another, or stop what uses it") from None

    def close(self) -> None:
        """Remove a Unix socket from its folder."""
        if self.socket_path is not None:
            self.socket_path.unlink(missing_ok=True)

    def shown(self, port: int) -> str:
        """For people."""
        if self.socket_path is not None:
            return str(self.socket_path)
        address = self._numeric()
        return f"http://{f'[{address}]' if address.version == 6 else address}:{port}/"

    def _numeric(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
        try:
            return ipaddress.ip_address("127.0.0.1" if self.host == "localhost" else self.host)
        except ValueError:
            raise UsageError(f"--host {self.host!r} is no address", "give a numeric one such as 127.0.0.1 or ::1") from None

    def _tcp(self) -> socket.socket:
        address = self._numeric()
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        # asyncio looks at the protocol before it sends small segments at once; else an answer waits 40 ms for the client's delayed ACK
        opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            if os.name == "posix":  # elsewhere it would let two programs share a port
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind((str(address), self.port))
        except BaseException:
            opened.close()
            raise
        return opened

    def _unix(self) -> socket.socket:
        path = self.socket_path
        if path is None or not hasattr(socket, "AF_UNIX"):
            raise OSError("this system has no Unix sockets")
        _remove_left_over(path)
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            opened.bind(str(path))
        except BaseException:
            opened.close()
            raise
        finally:
            os.umask(before)
        return opened


def _remove_left_over(path: Path) -> None:
    """Remove a socket that nobody listens on: that of a service that was killed.

    Raises:
        OSError: something else lies there, or somebody listens.
    """
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise OSError("a file that is no socket lies there")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError("another service listens there")
