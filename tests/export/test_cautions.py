from __future__ import annotations

from pathlib import Path

import numpy as np

from export import cautions
from export.dataset import Picture, Split, Unreadable
from export.learned import Epoch, Learned
from export.measure import Measured

LABELS = ("cat", "dog")
GOOD_LEAK = np.full(29, 0.001, np.float32)


def measured(*counts: int) -> Measured:
    labels = np.repeat(np.arange(len(counts)), counts)
    pictures = tuple(Picture(Path("x"), int(label), "x") for label in labels)
    empty = np.zeros((len(labels), 2), np.float32)
    return Measured(pictures, empty, empty, labels, ())


def split(held_out: bool = True, contradicted: int = 0) -> Split:
    return Split((), (), held_out, (), contradicted)


def test_plenty_of_everything_is_no_caution() -> None:
    assert cautions.of_pictures(split(), measured(1500, 600), LABELS, ()) == []
    assert cautions.of_labels((), 2) == []
    assert cautions.of_results(GOOD_LEAK, 0.9, 10, False) == []


def test_few_pictures() -> None:
    (found,) = cautions.of_pictures(split(), measured(1000, 999), LABELS, ())
    assert found.startswith("the context rests on 1999 pictures, fewer than 2000")


def test_few_of_a_label() -> None:
    (found,) = cautions.of_pictures(split(), measured(2000, 4), LABELS, ())
    assert "1 labels have fewer than 5 pictures (dog)" in found


def test_label_without_pictures_is_not_called_scarce() -> None:
    assert cautions.of_pictures(split(), measured(2500), LABELS, ()) == []


def test_shared_unreadable_and_contradictory_pictures() -> None:
    unreadable = [Unreadable(Path(f"/home/alice/data/dog/{n}.png"), "damaged") for n in range(5)]
    found = cautions.of_pictures(split(False, 2), measured(2000, 500), LABELS, unreadable)
    assert len(found) == 3
    assert "sentinel pictures serve as statistics too" in found[0]
    assert found[1] == "5 pictures could not be read (dog/0.png, dog/1.png, dog/2.png, …)"
    assert found[2].startswith("2 pictures lie in the folders of two labels")
    assert "alice" not in "".join(found)


def test_labels_that_are_not_shown() -> None:
    (found,) = cautions.of_labels(("newt", "toad"), 10)
    assert found.startswith("2 of 10 labels have no pictures (newt, toad)")


def test_random_weights_are_told_and_nothing_else_of_them() -> None:
    (found,) = cautions.of_results(GOOD_LEAK, 0.1, 10, True)
    assert "random" in found


def test_accuracy_of_chance_hints_at_the_order_of_labels() -> None:
    (found,) = cautions.of_results(GOOD_LEAK, 0.12, 10, False)
    assert "right on 12.0% of the sentinel only: check the order of --labels" in found
    assert cautions.of_results(GOOD_LEAK, 0.51, 2, False) == []
    assert len(cautions.of_results(GOOD_LEAK, 0.4, 2, False)) == 1


def test_perfect_accuracy_leaves_the_temperature_open() -> None:
    (found,) = cautions.of_results(GOOD_LEAK, 1.0, 10, False)
    assert "confidence cannot be measured" in found and "not trained on" in found
    assert cautions.of_results(GOOD_LEAK, 0.999, 10, False) == []
    assert len(cautions.of_results(GOOD_LEAK, 1.0, 10, True)) == 1, "of random weights only that they are random"


def test_collapsed_features_come_with_the_way_out() -> None:
    (found,) = cautions.of_results(np.full(29, 0.008, np.float32), 0.9, 10, False)
    assert found.startswith("features collapsed") and "help" in found


def learned(kept: int, trained: int = 10) -> Learned:
    curve = (Epoch(0, None, 2.0, 0.5), Epoch(1, 1.0, 1.5, 0.6))
    return Learned((), ("head",), trained, 10, 80, 20, curve, kept)


def test_training_that_did_not_help_is_told() -> None:
    assert cautions.of_learning(None, ["newt"]) == [] and cautions.of_learning(learned(1), []) == []
    (found,) = cautions.of_learning(learned(0), [])
    assert found.startswith("training did not help: none of 1 passes lowered the loss on the 20 held-out pictures")
    (found,) = cautions.of_learning(learned(1), ["newt"])
    assert found == "1 labels had no pictures to train on (newt): the network may have unlearned them"


def test_random_weights_are_random_until_all_of_them_are_trained() -> None:
    assert cautions.all_learned(learned(1)) and not cautions.all_learned(learned(0))
    assert not cautions.all_learned(learned(1, 9)) and not cautions.all_learned(None)


def test_sentences_are_printable() -> None:
    unreadable = [Unreadable(Path("dog/\x1b[2J\n.png"), "damaged")]
    assert all(line.isprintable() for line in cautions.of_pictures(split(False, 1), measured(3, 2), LABELS, unreadable))
