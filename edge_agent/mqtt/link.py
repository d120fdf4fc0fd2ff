"""The connection to the broker: paho's thread, what is subscribed and published, and the way back after a loss.

A command is acknowledged to the broker only when `acknowledge` says so, after the journal's commit: until then the broker delivers it
again to whoever connects next under this client id. Source: MQTT 5.0, OASIS Standard, 4.3.2 (QoS 1) and 4.4 (message delivery retry).
"""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable
from typing import Any

from edge_agent.errors import RuntimeUnavailable, UsageError
from edge_agent.mqtt.settings import MqttSettings
from edge_agent.mqtt.topics import AT_LEAST_ONCE, OFFLINE, ONLINE, Message, Publication, Topics

UNACKNOWLEDGED = 16  # commands that the broker sends before it waits for an answer
_OUTGOING = 1000
_FIRST_RETRY_S = 1
_NOTHING_KEPT = 2  # of MQTT 5: retained messages are not sent for this subscription
# What trying again does not mend, in the words of MQTT 5; 3.1.1's few codes are translated to them by paho.
_FINAL = ("Bad user name or password", "Not authorized", "Banned", "Client identifier not valid", "Unsupported protocol version",
          "Bad authentication method")  # fmt: skip


class Link:
    """One session at the broker; the callbacks come from paho's thread, everything else may be called from any.

    Attributes:
        failure: why the broker does not want us, or None.
    """

    def __init__(
        self, settings: MqttSettings, heard: Callable[[Message], None], up: Callable[[], None], tell: Callable[[str], None]
    ) -> None:
        """Make it; nothing is sent yet.

        Args:
            settings: where, and as whom.
            heard: told of each message; must not block.
            up: told when the broker has confirmed what was subscribed, or has turned us away for good.
            tell: for people: one line.

        Raises:
            UsageError: paho-mqtt is not installed, or a certificate or the password file cannot be read.
        """
        self._settings, self._topics = settings, Topics(settings.prefix)
        self._heard, self._up, self._tell = heard, up, tell
        self._was_up, self._is_up = False, threading.Event()
        self.failure: RuntimeUnavailable | None = None
        self._paho = _Paho()
        self._client = self._make()

    def start(self) -> None:
        """Connect, now or as soon as the broker is there, and stay connected; returns at once."""
        host, port = self._settings.address
        if self._settings.protocol == "5":
            properties = self._paho.connect_properties()
            properties.SessionExpiryInterval, properties.ReceiveMaximum = self._settings.session_s, UNACKNOWLEDGED
            properties.MaximumPacketSize = 2 * self._settings.picture_bytes
            self._client.connect_async(host, port, self._settings.keepalive_s, clean_start=False, properties=properties)
        else:
            self._client.connect_async(host, port, self._settings.keepalive_s)
        self._client.loop_start()

    @property
    def is_up(self) -> bool:
        """Whether the broker is there and has confirmed what was subscribed."""
        return self._is_up.is_set()

    def publish(self, publication: Publication) -> bool:
        """Send, now or after the connection is back; False where too much waits to be sent."""
        sent = self._client.publish(publication.topic, publication.payload(), AT_LEAST_ONCE, publication.retain)
        return bool(sent.rc != self._paho.full)

    def acknowledge(self, message: Message) -> None:
        """Tell the broker that a command is done; where the connection is lost, it comes again and is known by its name."""
        if message.number:
            self._client.ack(message.number, AT_LEAST_ONCE)

    def stop(self, timeout_s: float) -> None:
        """Say that we go, send what waits, for so long at most, and disconnect."""
        if self._is_up.is_set():
            last = self._client.publish(self._topics.availability, OFFLINE, AT_LEAST_ONCE, retain=True)
            with contextlib.suppress(RuntimeError, ValueError):  # the connection went at this moment; the will says the same
                last.wait_for_publish(timeout_s)  # in order: what was published before it has been sent too
        self._client.disconnect()
        self._client.loop_stop()

    def _make(self) -> Any:
        paho, settings = self._paho, self._settings
        is_5 = settings.protocol == "5"
        client: Any = paho.client(
            paho.version, settings.client_id, clean_session=None if is_5 else False,
            protocol=paho.protocols.MQTTv5 if is_5 else paho.protocols.MQTTv311, manual_ack=True,
        )  # fmt: skip
        client.on_connect, client.on_disconnect, client.on_connect_fail = self._connected, self._disconnected, self._unreachable
        client.on_subscribe, client.on_message = self._subscribed, self._arrived
        client.will_set(self._topics.availability, OFFLINE, AT_LEAST_ONCE, retain=True)
        client.reconnect_delay_set(_FIRST_RETRY_S, max(_FIRST_RETRY_S, settings.retry_s))
        client.max_queued_messages_set(_OUTGOING)
        if settings.user:
            client.username_pw_set(settings.user, settings.password())
        if settings.tls:
            client.tls_set_context(_tls(settings))
        return client

    def _connected(self, client: Any, data: object, flags: Any, reason: Any, properties: object) -> None:
        if reason.is_failure:
            self._tell(f"the broker refuses the connection: {reason}")
            if not self._was_up and str(reason) in _FINAL:  # later it may be the broker that is being changed
                self.failure = RuntimeUnavailable(
                    f"the broker {self._settings.broker} refuses the connection: {reason}", "look at user, password file and client id"
                )
                self._up()
            return
        wanted = list(self._topics.subscriptions.items())
        if self._settings.protocol == "5":
            client.subscribe([(topic, self._paho.options(qos, _NOTHING_KEPT)) for topic, qos in wanted])
        else:
            client.subscribe(wanted)

    def _subscribed(self, client: Any, data: object, number: int, reasons: list[Any], properties: object) -> None:
        refused = [topic for topic, reason in zip(self._topics.subscriptions, reasons, strict=False) if reason.is_failure]
        if refused:
            self._tell(f"the broker does not let us listen to {', '.join(refused)}")
        self._was_up = True
        self._is_up.set()
        client.publish(self._topics.availability, ONLINE, AT_LEAST_ONCE, retain=True)
        self._tell(f"connected to {self._settings.broker}, listening below {self._settings.prefix}")
        self._up()

    def _disconnected(self, client: Any, data: object, flags: Any, reason: Any, properties: object) -> None:
        if self._is_up.is_set():
            self._tell(f"the connection is lost ({reason}); trying to connect again" if reason.is_failure else "disconnected")
        self._is_up.clear()

    def _unreachable(self, client: Any, data: object) -> None:
        self._tell(f"the broker {self._settings.broker} cannot be reached; trying again")

    def _arrived(self, client: Any, data: object, message: Any) -> None:
        try:
            found = self._topics.read(message.topic)
        except UnicodeDecodeError:
            found = None
        if found is not None:
            number = message.mid if message.qos else 0
            self._heard(Message(*found, bytes(message.payload), number, bool(message.dup), bool(message.retain)))
        elif message.qos:
            client.ack(message.mid, message.qos)  # of an older subscription of this session


class _Paho:
    """The names that are used of paho-mqtt, which is an extra.

    Raises:
        UsageError: it is not installed.
    """

    def __init__(self) -> None:
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
            from paho.mqtt.packettypes import PacketTypes
            from paho.mqtt.properties import Properties
            from paho.mqtt.subscribeoptions import SubscribeOptions
        except ImportError:
            raise UsageError("paho-mqtt is not installed", "pip install 'onnx-edge-agent[mqtt]'") from None
        self.client, self.version, self.protocols = Client, CallbackAPIVersion.VERSION2, MQTTProtocolVersion
        self.full = MQTTErrorCode.MQTT_ERR_QUEUE_SIZE
        make: Callable[[int], Any] = Properties
        self.connect_properties: Callable[[], Any] = lambda: make(PacketTypes.CONNECT)
        self.options: Callable[[int, int], Any] = lambda qos, handling: SubscribeOptions(qos, retainHandling=handling)


def _tls(settings: MqttSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
        if settings.cert_file:
            context.load_cert_chain(settings.cert_file, settings.key_file)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(filter(None, (settings.ca_file, settings.cert_file, settings.key_file)))
        raise UsageError(f"certificates cannot be read from {files}: {error}", "give files in PEM format") from None
    return context
