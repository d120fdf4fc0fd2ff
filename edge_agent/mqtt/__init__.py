"""The agent on MQTT: pictures in, predictions, verdicts and health out, corrections and undo by topic. Extra `[mqtt]`: see docs/mqtt.md.

The agent lives in one thread and the network in another: `link.py` puts what arrives into an `inbox.py`, `desk.py` does the work with the
agent and says what to publish, `station.py` ties them. What goes over the wire is in `topics.py`, `commands.py` and `discovery.py`.
"""
