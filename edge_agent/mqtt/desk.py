"""One message after the other becomes work for the agent, and the work something to publish; no network in it."""

from __future__ import annotations

from dataclasses import asdict

from edge_agent.agent import EdgeAgent
from edge_agent.errors import EdgeAgentError, InputError, NotWaitingError, RepeatedError, StateError
from edge_agent.health_settings import HealthSettings
from edge_agent.journal_requests import Requested
from edge_agent.mqtt.commands import Correct, Undo, command_id_of, read_correct, read_undo
from edge_agent.mqtt.recent import Recent
from edge_agent.mqtt.settings import MqttSettings
from edge_agent.mqtt.topics import Message, Publication, Topics
from edge_agent.results import Correction


class Desk:
    """Carries out what arrives; for one thread at a time.

    Attributes:
        topics: of this device.
    """

    def __init__(self, agent: EdgeAgent, settings: MqttSettings, health: HealthSettings, collect: bool) -> None:
        """Take the agent.

        Args:
            agent: opened; it may be used by others at the same time.
            settings: prefix and limits.
            health: which checks a report makes.
            collect: whether predictions are offered to the queue.
        """
        self._agent, self._settings, self._health, self._collect = agent, settings, health, collect
        self.topics = Topics(settings.prefix)
        self._recent = Recent(settings.recent, settings.recent_bytes)

    def handle(self, message: Message) -> list[Publication]:
        """Carry out one message; whatever is wrong with it is published too.

        Args:
            message: as it arrived.

        Returns:
            What to publish. What it says of a correction or an undo is on the disk.
        """
        try:
            _check_delivery(message)
            return {"predict": self._predict, "correct": self._correct, "undo": self._undo}[message.command](message)
        except EdgeAgentError as error:
            return [self.failure(message, error)]
        except Exception as error:  # a fault of ours costs an answer, not the service
            text = " ".join(f"unexpected {type(error).__name__}: {error}".split())
            return [self.failure(message, EdgeAgentError(text, "report it"))]

    def failure(self, message: Message, error: EdgeAgentError) -> Publication:
        """The one error that answers a message."""
        about: dict[str, object] = {"command": message.command}
        if message.name:
            about["name"] = message.name
        command_id = command_id_of(message.payload) if message.command != "predict" else None
        if command_id is not None:
            about["command_id"] = command_id
        return Publication(self.topics.error, {**error.as_json(), **about})

    def state(self) -> list[Publication]:
        """What those who connect later are told: the queue and the health of the device, both retained."""
        report = self._agent.health(self._health)
        return [Publication(self.topics.health, report.as_json(), retain=True), *self._waiting()]

    def _predict(self, message: Message) -> list[Publication]:
        limit = self._settings.picture_bytes
        if len(message.payload) > limit:
            raise InputError(f"the picture has {len(message.payload)} bytes, expected at most {limit}", "send a smaller picture")
        seen = self._agent.predict(message.payload, name=message.name or None)
        self._recent.keep(seen)
        facts, waiting = seen.as_json(), list[Publication]()
        if self._collect:
            try:
                offer = self._agent.queue.offer(seen)
            except StateError as error:  # what cannot be kept is still predicted
                waiting = [self.failure(message, error)]
            else:
                facts["queue"] = {"kept": offer.kept, "reason": offer.reason, "score": offer.score}
                waiting = self._waiting() if offer.kept else []
        return [Publication(self.topics.prediction, facts, retain=True), *waiting]

    def _correct(self, message: Message) -> list[Publication]:
        command = read_correct(message.payload)
        about = {"command_id": command.command_id, "sample_id": command.sample_id}
        if command.command_id is None:
            return self._changed(self.topics.verdict, {**about, **asdict(self._taught(command))})
        try:
            before = self._agent.requested(_request(command.command_id))
            if before is None:
                with self._agent.once(_request(command.command_id)):
                    done = self._taught(command)
                return self._changed(self.topics.verdict, {**about, **asdict(done)})
        except RepeatedError:  # another process was first by a moment
            before = self._agent.requested(_request(command.command_id))
        return [Publication(self.topics.verdict, {**about, **self._before(before)})]

    def _undo(self, message: Message) -> list[Publication]:
        command = read_undo(message.payload)
        about: dict[str, object] = {"command_id": command.command_id}
        if command.command_id is None:
            if message.again and command.id is None:
                problem = "an undo without a name came a second time, and may have been carried out before"
                raise RepeatedError(problem, 'look at the history, and send {"command_id": …} or {"id": …}')
            return self._changed(self.topics.undone, {**about, **asdict(self._agent.undo(command.id))})
        return self._undo_once(command, command.command_id, about)

    def _undo_once(self, command: Undo, command_id: str, about: dict[str, object]) -> list[Publication]:
        try:
            before = self._agent.requested(_request(command_id))
            if before is None:
                with self._agent.once(_request(command_id)):
                    done = self._agent.undo(command.id)
                return self._changed(self.topics.undone, {**about, **asdict(done)})
        except RepeatedError:
            before = self._agent.requested(_request(command_id))
        return [Publication(self.topics.undone, {**about, **self._before(before)})]

    def _taught(self, command: Correct) -> Correction:
        """The correction of a recent prediction, or of a picture that waits."""
        seen = self._recent.get(command.sample_id)
        if seen is not None:
            views = self._agent.settings.views if seen.picture else 0
            return self._agent.correct(seen, command.label, new_label=command.new_label, views=views, force=command.force)
        try:
            return self._agent.queue.label(command.sample_id, command.label, command.new_label)
        except NotWaitingError as error:
            problem = f"sample {command.sample_id[:64]!r} is neither in the queue nor among the last {self._settings.recent} predictions"
            raise NotWaitingError(problem, "send its picture to predict again") from error

    def _before(self, done: Requested | None) -> dict[str, object]:
        """What a command did when it came for the first time."""
        numbers = done.corrections if done is not None else ()
        entries = [entry for entry in self._agent.history() if entry.id in numbers]
        facts: dict[str, object] = {"repeated": True, "at": done.made_at if done is not None else None, "ids": list(numbers)}
        if entries:
            facts |= {"label": entries[-1].label, "verdict": entries[-1].verdict}
        return facts

    def _changed(self, topic: str, facts: dict[str, object]) -> list[Publication]:
        """An answer, and what is different now."""
        return [Publication(topic, facts), *self._waiting()]

    def _waiting(self) -> list[Publication]:
        try:
            first, count = self._agent.queue.waiting(1), len(self._agent.queue)
        except EdgeAgentError:  # what was done is done, and health says what is wrong with the state
            return []
        facts: dict[str, object] = {"waiting": count, "next": asdict(first[0]) if first else None}
        return [Publication(self.topics.queue, facts, retain=True)]


def _request(command_id: str) -> str:
    return f"mqtt:{command_id}"


def _check_delivery(message: Message) -> None:
    """A command that the broker keeps would be carried out by everyone who connects, and again with every connection.

    Raises:
        InputError: it is one.
    """
    if message.retained:
        raise InputError(f"a retained {message.command} is not carried out", "publish it without retain; clear the topic with an empty one")
