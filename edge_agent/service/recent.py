"""The last predictions, so that a person can correct one by its sample id without sending the picture again."""

from __future__ import annotations

from collections import OrderedDict

from edge_agent.results import Prediction
from edge_agent.service.limits import ServiceLimits


class Recent:
    """A bounded memory of predictions, by sample id; used from one event loop alone. The oldest leave first."""

    def __init__(self, limits: ServiceLimits) -> None:
        """Bind the limits."""
        self._limits = limits
        self._kept: OrderedDict[str, Prediction] = OrderedDict()
        self._bytes = 0

    def keep(self, prediction: Prediction) -> None:
        """Remember a prediction; the same picture again counts as new."""
        self._forget(prediction.sample_id)
        size = _size(prediction)
        if size > self._limits.recent_bytes or not self._limits.recent:
            return
        self._kept[prediction.sample_id] = prediction
        self._bytes += size
        while len(self._kept) > self._limits.recent or self._bytes > self._limits.recent_bytes:
            self._forget(next(iter(self._kept)))

    def get(self, sample_id: str) -> Prediction | None:
        """The prediction of a sample, or None where it has left."""
        return self._kept.get(sample_id)

    def _forget(self, sample_id: str) -> None:
        found = self._kept.pop(sample_id, None)
        self._bytes -= _size(found) if found is not None else 0


def _size(prediction: Prediction) -> int:
    return len(prediction.picture or b"")
