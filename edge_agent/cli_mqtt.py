"""`edge-agent mqtt`: the agent at a broker."""

from __future__ import annotations

import json
import os
import stat
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from edge_agent.mqtt.settings import MqttSettings
    from edge_agent.mqtt.topics import Publication


def _variable(name: str) -> str:
    return f"[EDGE_AGENT_MQTT_{name}]"


@click.command("mqtt")
@click.option("--broker", metavar="HOST[:PORT]", help=f"The broker; port 1883, or 8883 with --tls. {_variable('BROKER')}")
@click.option("--user", metavar="NAME", help=f"Name at the broker. {_variable('USER')}")
@click.option("--password-file", metavar="FILE", help=f"File whose first line is the password. {_variable('PASSWORD_FILE')}")
@click.option("--tls/--no-tls", default=None, help=f"Encrypt, and check the broker's certificate. {_variable('TLS')}")
@click.option("--ca-file", metavar="FILE", help=f"Certificates that may vouch for it; default: the system's. {_variable('CA_FILE')}")
@click.option("--cert-file", metavar="FILE", help=f"This device's own certificate. {_variable('CERT_FILE')}")
@click.option("--key-file", metavar="FILE", help=f"Its key. {_variable('KEY_FILE')}")
@click.option("--prefix", metavar="TOPIC", help=f"Topics begin with it; default: edge-agent/HOSTNAME. {_variable('PREFIX')}")
@click.option("--client-id", metavar="NAME", help=f"Names the session; default: edge-agent-HOSTNAME. {_variable('CLIENT_ID')}")
@click.option("--protocol", metavar="VERSION", help=f"5 (default) or 3.1.1. {_variable('PROTOCOL')}")
@click.option("--name", metavar="TEXT", help=f"What Home Assistant calls the device; default: HOSTNAME. {_variable('NAME')}")
@click.option("--discovery/--no-discovery", default=None, help=f"Tell Home Assistant what there is (default). {_variable('DISCOVERY')}")
@click.option("--discovery-prefix", metavar="TOPIC", help=f"Where it listens; default: homeassistant. {_variable('DISCOVERY_PREFIX')}")
@click.option("--collect/--no-collect", default=None, help="Let pictures that are worth asking about wait in the queue.")
@click.option("--json", "as_json", is_flag=True, help="Print what is published: one JSON object per line on stdout.")
@click.pass_obj
def mqtt(
    call: Any,
    broker: str | None,
    user: str | None,
    password_file: str | None,
    tls: bool | None,
    ca_file: str | None,
    cert_file: str | None,
    key_file: str | None,
    prefix: str | None,
    client_id: str | None,
    protocol: str | None,
    name: str | None,
    discovery: bool | None,
    discovery_prefix: str | None,
    collect: bool | None,
    as_json: bool,
) -> None:
    """Work at an MQTT broker until it is stopped: pictures in, predictions, verdicts and health out, correct and undo by topic.

    More settings, topics and Home Assistant: docs/mqtt.md.
    """
    from edge_agent.health_settings import HealthSettings
    from edge_agent.mqtt.settings import MqttSettings
    from edge_agent.mqtt.station import Station, stopped_by_signals

    flags: dict[str, object] = {
        "broker": broker, "user": user, "password_file": password_file, "tls": tls, "ca_file": ca_file, "cert_file": cert_file,
        "key_file": key_file, "prefix": prefix, "client_id": client_id, "protocol": protocol, "name": name, "discovery": discovery,
        "discovery_prefix": discovery_prefix,
    }  # fmt: skip
    settings = MqttSettings.load(call.settings_file, os.environ, flags)
    health = HealthSettings.load(call.settings_file, os.environ, {})
    _warn(settings)
    agent = call.agent()
    collects = agent.settings.collect if collect is None else collect
    station = Station(agent, settings, health, collects, _tell, _print if as_json else _silent)
    with stopped_by_signals(station):
        station.run()
    agent.close()


def _warn(settings: MqttSettings) -> None:
    """What works and is not safe."""
    if settings.password_file and os.path.exists(settings.password_file) and os.stat(settings.password_file).st_mode & stat.S_IROTH:
        _tell(f"warning: everybody on this machine can read {settings.password_file}; chmod 600 it")
    host = settings.address[0]
    if settings.password_file and not settings.tls and not (host == "localhost" or host.startswith("127.") or host == "::1"):
        _tell(f"warning: the password goes to {host} unencrypted; give --tls")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _print(publication: Publication) -> None:
    facts = {"topic": publication.topic, "retain": publication.retain, "payload": publication.facts}
    print(json.dumps(facts, ensure_ascii=False), flush=True)


def _silent(publication: Publication) -> None:
    """Nothing is printed."""
