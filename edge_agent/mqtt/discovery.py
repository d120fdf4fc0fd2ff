"""What Home Assistant is told, so that the device appears there by itself: one retained message for each of its entities.

Source: Home Assistant, "MQTT", section "MQTT Discovery", and its pages on the MQTT sensor, binary sensor and button
(https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from edge_agent import __version__
from edge_agent.mqtt.settings import MqttSettings
from edge_agent.mqtt.topics import AT_LEAST_ONCE, OFFLINE, ONLINE, Publication, Topics


def announcements(settings: MqttSettings, model: str) -> list[Publication]:
    """The discovery messages; none where discovery is switched off.

    Args:
        settings: prefixes, client id and the device's name.
        model: the network's name.

    Returns:
        One for each entity, retained.
    """
    if not settings.discovery:
        return []
    device = {"identifiers": [settings.client_id], "name": settings.name, "model": model, "sw_version": __version__}
    node = re.sub(r"[^A-Za-z0-9_-]", "_", settings.client_id)
    topics, found = Topics(settings.prefix), []
    for (kind, entity), facts in _entities(topics).items():
        config = {
            **facts, "unique_id": f"{node}_{entity}", "device": device, "origin": {"name": "edge-agent", "sw_version": __version__},
            "availability_topic": topics.availability, "payload_available": ONLINE.decode(), "payload_not_available": OFFLINE.decode(),
        }  # fmt: skip
        found.append(Publication(f"{settings.discovery_prefix}/{kind}/{node}/{entity}/config", config, retain=True))
    return found


def _entities(topics: Topics) -> Mapping[tuple[str, str], dict[str, object]]:
    prediction = {"state_topic": topics.prediction, "qos": AT_LEAST_ONCE}
    return {
        ("sensor", "label"): {
            **prediction, "name": "Label", "icon": "mdi:tag", "value_template": "{{ value_json.label }}",
            "json_attributes_topic": topics.prediction,
        },
        ("sensor", "probability"): {
            **prediction, "name": "Probability", "icon": "mdi:percent", "unit_of_measurement": "%", "state_class": "measurement",
            "suggested_display_precision": 0, "value_template": "{{ value_json.probability * 100 }}",
        },
        ("sensor", "waiting"): {
            "state_topic": topics.queue, "qos": AT_LEAST_ONCE, "name": "Waiting for an answer", "icon": "mdi:help-box-multiple",
            "state_class": "measurement", "value_template": "{{ value_json.waiting }}", "json_attributes_topic": topics.queue,
            "json_attributes_template": "{{ (value_json.next or {}) | tojson }}",
        },
        ("binary_sensor", "health"): {
            "state_topic": topics.health, "qos": AT_LEAST_ONCE, "name": "Health", "device_class": "problem",
            "entity_category": "diagnostic", "value_template": "{{ 'OFF' if value_json.status == 'OK' else 'ON' }}",
            "json_attributes_topic": topics.health,
            "json_attributes_template":
                "{{ {'status': value_json.status, 'wrong': value_json.checks | rejectattr('status', 'eq', 'OK')"
                " | map(attribute='detail') | list} | tojson }}",
        },
        ("button", "undo"): {  # with a name, so that a press that is delivered twice takes back one correction
            "command_topic": topics.command("undo"), "qos": AT_LEAST_ONCE, "name": "Undo the last correction", "icon": "mdi:undo",
            "command_template": '{"command_id": "ha-{{ now().timestamp() }}"}',
        },
    }  # fmt: skip
