"""What Home Assistant is told fits its documentation, and fits what is really published."""

from __future__ import annotations

import json
from typing import Any

from edge_agent.mqtt.discovery import announcements
from edge_agent.mqtt.settings import MqttSettings
from edge_agent.mqtt.topics import Topics


def told(**flags: Any) -> dict[str, dict[str, Any]]:
    settings = MqttSettings.load(None, {}, {"broker": "localhost", "prefix": "plant/press", "client_id": "press.4", **flags})
    found = announcements(settings, "mobilenet_v3_small")
    assert all(publication.retain for publication in found)
    return {publication.topic: json.loads(publication.payload()) for publication in found}


def test_entities_of_one_device() -> None:
    found, topics = told(name="Press 4"), Topics("plant/press")
    assert set(found) == {
        f"homeassistant/{kind}/press_4/{entity}/config"
        for kind, entity in (
            ("sensor", "label"), ("sensor", "probability"), ("sensor", "waiting"), ("binary_sensor", "health"), ("button", "undo"),
        )
    }  # fmt: skip
    assert len({facts["unique_id"] for facts in found.values()}) == len(found)
    for facts in found.values():
        assert facts["device"]["identifiers"] == ["press.4"]
        assert facts["device"]["name"] == "Press 4"
        assert facts["origin"]["name"] == "edge-agent"
        assert facts["availability_topic"] == topics.availability
        assert (facts["payload_available"], facts["payload_not_available"]) == ("online", "offline")
        assert facts.get("state_topic") in (None, topics.prediction, topics.queue, topics.health)
    assert found["homeassistant/button/press_4/undo/config"]["command_topic"] == topics.command("undo")


def test_it_can_be_elsewhere_or_switched_off() -> None:
    assert all(topic.startswith("ha/") for topic in told(discovery_prefix="ha"))
    assert told(discovery=False) == {}
