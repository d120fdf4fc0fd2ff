"""Which pictures a network learns from, which decide when it stops, and what it learned: the policy carried out before `build` cuts it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from edge_agent.errors import InputError
from edge_agent.image import ImageLimits
from edge_agent.manifest import ImageSpec
from export import halves
from export.dataset import LabelFolder, Picture, Progress, Split
from export.learned import Learned
from export.looks import LOOKS, Album, Seeing
from export.policy import REINIT, Policy, covering
from export.recipe import Recipe
from export.source import Source
from export.training import Trainee, train

LEAST_PER_LABEL = 2  # one to learn from, one that only the guard sees
STAGE = "training"


def check_pictures(policy: Policy, labels: Sequence[str], folders: Sequence[LabelFolder]) -> None:
    """Refuse pictures that nothing can be learned from.

    Args:
        policy: something is trained.
        labels: of the network.
        folders: of `--data`.

    Raises:
        InputError: fewer pictures than labels, a label of a new task without pictures, or with a single one.
    """
    counts = {folder.name: len(folder.files) for folder in folders}
    total = sum(counts.values())
    if total < len(labels):
        raise InputError(f"--data has {total} pictures for {len(labels)} labels, too few to train on", "give some pictures of each label")
    bare = [label for label in labels if label not in counts]
    if bare and policy.new_task:
        raise InputError(f"--reinit of the last layer: the label {bare[0]!r} has no pictures", "give some, or take it out of --labels")
    single = [name for name, count in counts.items() if count < LEAST_PER_LABEL]
    if single:
        found = f"the label {single[0]!r} has {counts[single[0]]} picture, training needs at least {LEAST_PER_LABEL}"
        raise InputError(found, "one is kept apart for the guard")


def learn(
    network: Source, policy: Policy, split: Split, spec: ImageSpec, limits: ImageLimits, recipe: Recipe, seed: int, progress: Progress
) -> Learned:
    """Train what the policy does not freeze; everything else stays as it is, bit for bit.

    Args:
        network: in evaluation mode; it is changed in place.
        policy: something is trained.
        split: the pictures; those of the sentinel are not looked at.
        spec: how a picture becomes the input.
        limits: what is refused before decoding.
        recipe: how to train.
        seed: of everything that is left to chance.
        progress: told how far it is.

    Returns:
        What was learned; the network is in evaluation mode, without gradients.

    Raises:
        InputError: it cannot be traced, what is trained takes no part in it, the pictures cannot be used, or training diverged.
    """
    graph = halves.trace(network.module)
    used = {id(number) for number in graph.parameters()}
    trained = [(number, action) for _, number, action in policy.trained(network.module) if id(number) in used]
    if not trained:
        raise InputError("what was chosen takes no part in the network's forward pass", "name layers that the logits depend on")
    ids = frozenset(id(number) for number, _ in trained)
    opened = halves.open_below(graph, ids)
    learned_from, held_out = held_apart(split, recipe.held_out)
    seeing = Seeing(opened.below, spec, limits, recipe.flip, seed)
    trainee = Trainee(
        opened.above,
        [number for number, action in trained if action != REINIT],
        [number for number, action in trained if action == REINIT],
        lambda training: policy.set_modes(network.module, training),
    )
    course = train(
        trainee, Album(seeing, learned_from, LOOKS), Album(seeing, held_out, 0), recipe, seed, lambda done, of: progress(STAGE, done, of)
    )
    count = sum(number.numel() for number, _ in trained)
    names = covering(network.module, ids)
    return Learned(policy.choices, names, count, network.parameters, len(learned_from), len(held_out), course.curve, course.kept)


def held_apart(split: Split, share: float) -> tuple[list[Picture], list[Picture]]:
    """Pictures to learn from, and pictures to stop by, of every label; the sentinel's are in neither.

    Args:
        split: the pictures.
        share: of each label's pictures that are held out; at least one where it has two.

    Raises:
        InputError: nothing of a label is left beside its sentinel pictures, or no label has two.
    """
    if not split.held_out:
        raise InputError("a label has one readable picture only, training needs at least 2 of each", "one is kept apart for the guard")
    by_label: dict[int, list[Picture]] = defaultdict(list)
    for picture in split.statistics:
        by_label[picture.label].append(picture)
    learned_from, held_out = list[Picture](), list[Picture]()
    for label in sorted(by_label):
        pictures = sorted(by_label[label], key=lambda picture: picture.digest)
        count = max(1, round(share * len(pictures))) if len(pictures) > 1 else 0
        held_out += pictures[:count]
        learned_from += pictures[count:]
    if not held_out:
        raise InputError("no label has a picture to stop training by", "give at least 3 different pictures of some label")
    return learned_from, held_out
