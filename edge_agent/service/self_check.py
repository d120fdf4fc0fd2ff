"""Does the service still predict? Asked of itself, on the way that a client's picture takes, with pictures whose answer is known."""

from __future__ import annotations

from edge_agent.agent import EdgeAgent
from edge_agent.errors import EdgeAgentError, RuntimeUnavailable
from edge_agent.health_settings import HealthSettings
from edge_agent.nagios import Status
from edge_agent.service.lane import Lane

_GOLDEN = HealthSettings(checks=("golden",))


class SelfCheck:
    """Predicts golden samples through the lane of the predictions: where that is stuck, this is stuck too.

    Attributes:
        fault: what was wrong at the last look, in words; "" where nothing was, and "it has not been looked at" before the first.
    """

    def __init__(self, agent: EdgeAgent, lane: Lane) -> None:
        """Bind the agent and the lane that clients' predictions take."""
        self._agent, self._lane, self.fault = agent, lane, "it has not been looked at"
        self._golden = agent.artifact.read("golden/00.png")

    async def look(self) -> bool:
        """Predict, and remember what was wrong; returns whether nothing was."""
        try:
            await self._lane.run(self._predict, always=True)
            self.fault = ""
        except EdgeAgentError as error:
            self.fault = error.message
        except Exception as error:  # whatever it was: the service does not predict
            self.fault = f"{type(error).__name__}: {error}"
        return not self.fault

    def _predict(self) -> None:
        """One picture from its bytes to its label, and every golden sample through the network.

        Raises:
            RuntimeUnavailable: the network's numbers are not those of the artifact.
        """
        self._agent.predict(self._golden)
        report = self._agent.health(_GOLDEN)
        if report.status is not Status.OK:
            raise RuntimeUnavailable(report.checks[0].detail, "see edge-agent health")
