from __future__ import annotations

import pytest

from edge_agent.errors import UsageError
from export.recipe import Recipe


@pytest.mark.parametrize(
    ("recipe", "found"),
    [
        (Recipe(epochs=0), "--epochs is 0, expected 1 to 10000"),
        (Recipe(epochs=10_001), "--epochs is 10001"),
        (Recipe(learning_rate=0.0), "--learning-rate is 0, expected more than 0"),
        (Recipe(learning_rate=1.5), "--learning-rate is 1.5"),
        (Recipe(learning_rate=float("nan")), "--learning-rate is nan"),
    ],
)
def test_what_no_training_can_use(recipe: Recipe, found: str) -> None:
    with pytest.raises(UsageError, match=found):
        recipe.check()


def test_usual_recipe_is_sound() -> None:
    Recipe().check()
