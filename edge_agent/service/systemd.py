"""What systemd is told: datagrams to `$NOTIFY_SOCKET`, as sd_notify(3) describes them; nothing where nobody listens."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

_PATIENCE_S = 0.05  # a supervisor that does not read must not hold the event loop


class Supervisor:
    """Tells systemd; without it, nobody.

    Attributes:
        watchdog_s: within this time a `WATCHDOG=1` is expected; None where none is.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Read where it listens, and whether it watches this process.

        Args:
            environment: usually `os.environ`.
        """
        path = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        microseconds = environment.get("WATCHDOG_USEC", "")
        is_watched = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_s = int(microseconds) / 1e6 if is_watched and microseconds.isdecimal() and int(microseconds) else None

    def tell(self, *lines: str) -> None:
        """Send assignments such as `READY=1`; a supervisor that has gone is no reason to stop."""
        if not self._address or not hasattr(socket, "AF_UNIX"):
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as datagrams:
                datagrams.settimeout(_PATIENCE_S)
                datagrams.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            return
