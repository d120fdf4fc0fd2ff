"""Rivals 3 and 4: a linear model or class means on the features that the same frozen network gives; what is timed is one sample more.

The pass through the network is done before, as it is for this product's own corrections, and no disk is written.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import measuring

RULE, FEATURES, RUNS = sys.argv[1:]


def main() -> None:
    """Measure one rule."""
    import numpy as np

    with np.load(FEATURES) as arrays:
        features, labels, weight, bias = (arrays[name] for name in ("features", "labels", "weight", "bias"))
    learn = {"sklearn": with_sklearn, "river": with_river, "slda": with_rules, "ncm": with_rules}[RULE](features, labels, weight, bias)
    figures = {"import_ms": measuring.since_start_ms(), "correct_ms": measuring.median_ms(learn, int(RUNS))}
    measuring.answer(figures)


def with_sklearn(features, labels, weight, bias) -> Callable[[int], object]:  # type: ignore[no-untyped-def]
    """`SGDClassifier.partial_fit`, from the network's last layer."""
    from sklearn.linear_model import SGDClassifier

    model, features = SGDClassifier(loss="log_loss", random_state=0), features.astype(float)
    model.partial_fit(features[:1], labels[:1], classes=range(len(bias)))
    model.coef_, model.intercept_ = weight.astype(float), bias.astype(float)
    return lambda place: model.partial_fit(features[place % len(labels)][None], [labels[place % len(labels)]])


def with_river(features, labels, weight, bias) -> Callable[[int], object]:  # type: ignore[no-untyped-def]
    """`linear_model.SoftmaxRegression.learn_one`; it takes a dictionary of numbers by name."""
    from river.linear_model import SoftmaxRegression

    model = SoftmaxRegression()
    rows = [dict(enumerate(row.tolist())) for row in features[:50]]
    for row, label in zip(rows, labels.tolist(), strict=False):
        model.learn_one(row, label)
    return lambda place: model.learn_one(rows[place % len(rows)], int(labels[place % len(rows)]))


def with_rules(features, labels, weight, bias) -> Callable[[int], object]:  # type: ignore[no-untyped-def]
    """Deep SLDA or the nearest class mean, as `benchmarks/rules.py` has them from the papers."""
    from pathlib import Path

    sys.path.append(str(Path(__file__).resolve().parents[1]))
    from rules import NearestMean, Slda, Start

    from edge_agent.results import Prediction
    from edge_agent.runtime import Seen

    rule = (Slda if RULE == "slda" else NearestMean)(Start(weight, bias, features, labels))

    def learn(place: int) -> None:
        row = slice(place % len(labels), place % len(labels) + 1)
        seen = Seen(features[row] @ weight.T, features[row], features[row])
        rule.correct(Prediction(None, "", 0.0, (), "", 0, 0.0, "", seen, None), int(labels[row][0]))

    return learn


main()
