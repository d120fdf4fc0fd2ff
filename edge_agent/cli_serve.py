"""`edge-agent serve`: one agent over HTTP, on a Unix socket or this machine's own address."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_agent.errors import RuntimeUnavailable, UsageError

if TYPE_CHECKING:
    from edge_agent.service.address import Address

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8765
_EXTRA = ("starlette", "uvicorn", "h11", "python_multipart", "prometheus_client")


@click.command()
@click.option("--uds", type=click.Path(path_type=Path), metavar="PATH", help="Listen on a Unix socket that this user alone may use.")
@click.option("--host", metavar="ADDR", help=f"Listen on a numeric address; default: {DEFAULT_HOST}.")
@click.option("--port", type=click.IntRange(0, 65535), metavar="N", help=f"Its port, 0 for any; default: {DEFAULT_PORT}.")
@click.option("--token-file", type=click.Path(path_type=Path), metavar="FILE", help="Holds the token; else EDGE_AGENT_TOKEN does.")
@click.option("--allow-remote", is_flag=True, help="Let other machines ask: needed for any other address than loopback.")
@click.option("--allow-host", "hosts", multiple=True, metavar="NAME[:PORT]", help="A further name to be asked by; repeatable.")
@click.pass_obj
def serve(
    call: Any, uds: Path | None, host: str | None, port: int | None, token_file: Path | None, allow_remote: bool, hosts: tuple[str, ...]
) -> None:
    """Predict, correct, undo, label and monitor over HTTP; the review page is at /. See docs/service.md.

    Every request needs `Authorization: Bearer TOKEN`. SIGTERM finishes what is under way, then stops. Limits are in the table [service] of
    the settings file, and in EDGE_AGENT_SERVICE_<NAME>.
    """
    address = _address(uds, host, port, allow_remote, hosts)
    _serve(call, address, token_file)


def _address(uds: Path | None, host: str | None, port: int | None, allow_remote: bool, hosts: tuple[str, ...]) -> Address:
    """Where to listen.

    Raises:
        UsageError: two ways at once, or one that is not safe by default.
        RuntimeUnavailable: the extra is not installed.
    """
    if uds is not None and (host is not None or port is not None or allow_remote):
        raise UsageError("--uds stands beside --host, --port or --allow-remote", "give one way to listen")
    missing = [name for name in _EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise RuntimeUnavailable(f"the service needs {', '.join(missing)}", "pip install 'onnx-edge-agent[service]'")
    from edge_agent.service.address import Address

    return Address(uds, host or DEFAULT_HOST, DEFAULT_PORT if port is None else port, hosts, allow_remote)


def _serve(call: Any, address: Address, token_file: Path | None) -> None:
    from edge_agent.service.limits import ServiceLimits
    from edge_agent.service.server import serve as run
    from edge_agent.service.token import VARIABLE, load_token

    limits = ServiceLimits.load(call.settings_file, os.environ)
    token = load_token(token_file, os.environ)
    os.environ.pop(VARIABLE, None)  # what is started from here need not know it
    if not call.settings().threads:  # one for each of the predictions that run at a time: more would wait for each other on the cores
        call = dataclasses.replace(call, flags={**call.flags, "threads": 1})
    agent = call.agent()
    try:
        run(agent, limits, address, token, lambda text: print(text, file=sys.stderr, flush=True))
    finally:
        agent.close()
