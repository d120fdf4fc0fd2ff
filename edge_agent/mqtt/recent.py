"""The last predictions, so that one can be corrected by its sample id though it does not wait in the queue."""

from __future__ import annotations

from collections import OrderedDict

from edge_agent.results import Prediction


class Recent:
    """A memory of predictions, bounded by count and by the bytes of their pictures; the oldest leave first."""

    def __init__(self, count: int, picture_bytes: int) -> None:
        """Make it empty."""
        self._count, self._limit, self._bytes = count, picture_bytes, 0
        self._kept: OrderedDict[str, Prediction] = OrderedDict()

    def keep(self, prediction: Prediction) -> None:
        """Remember a prediction; the same picture again counts as new."""
        self._drop(prediction.sample_id)
        self._kept[prediction.sample_id] = prediction
        self._bytes += _size(prediction)
        while self._kept and (len(self._kept) > self._count or self._bytes > self._limit):
            self._drop(next(iter(self._kept)))

    def get(self, sample_id: str) -> Prediction | None:
        """The prediction of a sample, or None where it has left."""
        return self._kept.get(sample_id)

    def _drop(self, sample_id: str) -> None:
        found = self._kept.pop(sample_id, None)
        self._bytes -= _size(found) if found is not None else 0


def _size(prediction: Prediction) -> int:
    return len(prediction.picture or b"")
