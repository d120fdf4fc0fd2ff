"""What is compared: this product, and what a user would do instead, all on the same frozen features.

Every rule is told what the backbone saw of a picture and its right label, and answers with logits. The rivals start from the
network's own last layer; those that need statistics of the training data get the features of photos that are used for nothing else.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_agent import EdgeAgent, Prediction
from edge_agent.head import softmax
from edge_agent.runtime import Seen

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Start:
    """What a rule starts from.

    Attributes:
        weight: `[C, D]`, the network's last layer.
        bias: `[C]`.
        features: `[n, D]`, of labelled photos that are used for nothing else.
        labels: `[n]`.
    """

    weight: FloatArray
    bias: FloatArray
    features: FloatArray
    labels: NDArray[np.int64]


class Rule(Protocol):
    """A way to learn from one picture."""

    def correct(self, seen: Prediction, label: int) -> None:
        """Learn the label of one picture."""
        ...

    def logits(self, seen: Seen) -> FloatArray:
        """`[N, C]` or more columns."""
        ...


class Product:
    """edge-agent itself: `EdgeAgent.correct` with its journal in a temporary folder."""

    def __init__(self, agent: EdgeAgent, views: int = 0) -> None:
        """A fresh state for an artifact that is open already."""
        self._views = views
        self._state = tempfile.TemporaryDirectory()
        self.agent = EdgeAgent.open(agent.artifact.path, state=self._state.name, settings=replace(agent.settings, keep_pictures=False))
        self.refused = 0

    def correct(self, seen: Prediction, label: int) -> None:
        """One correction, as the command makes it."""
        done = self.agent.correct(seen, self.agent.labels[label], views=self._views, force=seen.label == self.agent.labels[label])
        self.refused += done.verdict == "refused"

    def logits(self, seen: Seen) -> FloatArray:
        """Of the head in use."""
        return self.agent.head.logits(seen)


class Linear:
    """A rule that changes the last layer."""

    def __init__(self, start: Start) -> None:
        """A copy of the last layer."""
        self.weight, self.bias = start.weight.astype(np.float64), start.bias.astype(np.float64)

    def logits(self, seen: Seen) -> FloatArray:
        """Of the changed layer."""
        return np.asarray(seen.features @ self.weight.T + self.bias, np.float32)

    def gradient(self, features: FloatArray, label: int) -> tuple[NDArray[np.float64], float]:
        """The cross-entropy's gradient by the logits, and the right label's probability."""
        error = softmax(np.asarray(self.weight @ features + self.bias))
        probability = float(error[label])
        error[label] -= 1
        return error.astype(np.float64), probability


class Adam(Linear):
    """The tutorials' recipe: AdamW with PyTorch's defaults on the sample; for a number of steps, or until it is more likely than not.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019; PyTorch's transfer-learning tutorial for the loop.
    """

    def __init__(self, start: Start, steps: int, until: float = 1.0, rate: float = 1e-3) -> None:
        """At most so many steps, fewer when the label has the probability `until`."""
        super().__init__(start)
        self._steps, self._until, self._rate = steps, until, rate

    def correct(self, seen: Prediction, label: int) -> None:
        """Fresh moments for each sample, as the loop of a tutorial has them."""
        features = seen.seen.features[0]
        moments = [[np.zeros_like(p), np.zeros_like(p)] for p in (self.weight, self.bias)]
        for step in range(1, self._steps + 1):
            error, probability = self.gradient(features, label)
            if probability > self._until:
                return
            for p, (first, second), g in zip((self.weight, self.bias), moments, (np.outer(error, features), error), strict=True):
                first *= 0.9
                first += 0.1 * g
                second *= 0.999
                second += 0.001 * g * g
                p *= 1 - self._rate * 0.01
                p -= self._rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)


class Sgd(Linear):
    """Plain gradient descent on the sample until it is more likely than not, each step as long as the sample allows (1/‖f‖²)."""

    def correct(self, seen: Prediction, label: int) -> None:
        """At most 100 steps."""
        features = seen.seen.features[0].astype(np.float64)
        for _ in range(100):
            error, probability = self.gradient(seen.seen.features[0], label)
            if probability > 0.5:
                return
            rate = 1 / (features @ features + 1)
            self.weight -= rate * np.outer(error, features)
            self.bias -= rate * error


class NearestMean:
    """The nearest class mean of the features.

    Source: Mensink et al., "Distance-Based Image Classification", 2013.
    """

    def __init__(self, start: Start) -> None:
        """Means and counts of the photos given."""
        classes = range(len(start.bias))
        self.means = np.stack([start.features[start.labels == c].mean(0) for c in classes]).astype(np.float64)
        self.counts = np.array([(start.labels == c).sum() for c in classes], np.float64)

    def correct(self, seen: Prediction, label: int) -> None:
        """Move the mean of the class."""
        self.counts[label] += 1
        self.means[label] += (seen.seen.features[0] - self.means[label]) / self.counts[label]

    def logits(self, seen: Seen) -> FloatArray:
        """Minus half the squared distance, but for what is common to all classes."""
        return np.asarray(seen.features @ self.means.T - 0.5 * (self.means**2).sum(1), np.float32)


class Slda(NearestMean):
    """Deep SLDA: class means and one shared covariance, streamed.

    Source: Hayes and Kanan, "Lifelong Machine Learning with Deep Streaming Linear Discriminant Analysis", 2020 (shrinkage 1e-4).
    """

    def __init__(self, start: Start) -> None:
        """Means and covariance of the photos given."""
        super().__init__(start)
        centred = (start.features - self.means[start.labels]).astype(np.float64)
        self._seen = len(centred)
        covariance = (1 - 1e-4) * centred.T @ centred / self._seen + 1e-4 * np.eye(centred.shape[1])
        self._precision = np.linalg.inv(covariance)
        self._rows = self.means @ self._precision

    def correct(self, seen: Prediction, label: int) -> None:
        """Update covariance, then mean; the inverse by Sherman and Morrison's formula, the shrinkage left as it was."""
        offset = (seen.seen.features[0] - self.means[label]).astype(np.float64)
        old, new = self._seen / (self._seen + 1), (1 - 1e-4) * self._seen / (self._seen + 1) ** 2
        precision = self._precision / old
        reached = precision @ offset
        self._precision = precision - np.outer(reached, reached) * new / (1 + new * (offset @ reached))
        self._seen += 1
        super().correct(seen, label)
        self._rows = self.means @ self._precision

    def logits(self, seen: Seen) -> FloatArray:
        """Linear discriminants."""
        return np.asarray(seen.features @ self._rows.T - 0.5 * (self._rows * self.means).sum(1), np.float32)


class PartialFit(Linear):
    """scikit-learn's `SGDClassifier(loss="log_loss").partial_fit` on the sample, from the network's last layer."""

    def __init__(self, start: Start) -> None:
        """One-against-rest rows that begin as the last layer's."""
        super().__init__(start)
        from sklearn.linear_model import SGDClassifier

        classes = np.arange(len(start.bias))
        self._model = SGDClassifier(loss="log_loss", random_state=0)
        self._model.partial_fit(start.features[:1], start.labels[:1], classes=classes)
        self._model.coef_, self._model.intercept_ = self.weight.copy(), self.bias.copy()

    def correct(self, seen: Prediction, label: int) -> None:
        """One call of `partial_fit`."""
        self._model.partial_fit(seen.seen.features[:1].astype(np.float64), [label])
        self.weight, self.bias = self._model.coef_, self._model.intercept_
