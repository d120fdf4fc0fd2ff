"""What to build, as the user said it; and the same, checked, before the first number is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_agent.errors import UsageError
from edge_agent.image import ImageLimits
from edge_agent.manifest import ImageSpec
from export import corrections, dataset, fresh, lessons, source, writer
from export import labels as label_rules
from export.learned import Choice
from export.policy import Policy, resolve
from export.recipe import Recipe
from export.source import Overrides, Source, Weights

LEAST_PICTURES = 4
MOST_SPARE = 10_000


@dataclass(frozen=True)
class BuildPlan:
    """What to build.

    Attributes:
        model: torchvision's name, or `package.module:factory`.
        weights: a file, `default` or `none`.
        labels: a file, or None: the folders' names.
        data: a folder of one folder per label.
        output: the directory to write.
        overrides: of the preset.
        spare_classes: rows for classes added on the device.
        limit: greatest number of pictures used.
        overwrite: whether an artifact at `output` may be replaced.
        seed: of random weights, and of training.
        limits: pictures that are refused before decoding.
        quantize: "int8", "float16", or None: the network stays in float32.
        max_accuracy_drop: greatest accepted loss by quantising, in points.
        force: whether a greater loss is accepted.
        corrections: directories that devices exported.
        licence: what the model card says of the terms of use, or None.
        report: the page to write, or None.
        command: that is named in it.
        choices: of layers to freeze, to fine-tune and to begin anew, in order; without any all are frozen.
        recipe: how what is not frozen is trained.
    """

    model: str
    weights: str
    labels: Path | None
    data: Path
    output: Path
    overrides: Overrides = field(default_factory=Overrides)
    spare_classes: int = 16
    limit: int = 5_000
    overwrite: bool = False
    seed: int = 0
    limits: ImageLimits = field(default_factory=ImageLimits)
    quantize: str | None = None
    max_accuracy_drop: float = 1.0
    force: bool = False
    corrections: tuple[Path, ...] = ()
    licence: str | None = None
    report: Path | None = None
    command: str = ""
    choices: tuple[Choice, ...] = ()
    recipe: Recipe = field(default_factory=Recipe)


@dataclass(frozen=True)
class Prepared:
    """Everything that the user gave, checked.

    Attributes:
        network: with its weights.
        spec: how a picture becomes its input.
        labels: in the order of its logits.
        folders: of `--data`, each one of the labels.
        absent: labels without a folder.
        home: what devices taught, or None.
        policy: of the layers, where something is trained, or None.
    """

    network: Source
    spec: ImageSpec
    labels: tuple[str, ...]
    folders: tuple[dataset.LabelFolder, ...]
    absent: tuple[str, ...]
    home: corrections.Home | None = None
    policy: Policy | None = None


def prepare(plan: BuildPlan) -> Prepared:
    """Check the plan, cheapest things first, and load the network.

    Args:
        plan: what to build.

    Returns:
        What was checked and loaded.

    Raises:
        UsageError: an option is out of its range, or the output is in the way.
        InputError: weights, labels or pictures cannot be used.
        ArtifactError: the output cannot be written.
    """
    source.check_name(plan.model)
    _check_numbers(plan)
    writer.check_output(plan.output, plan.overwrite)
    if plan.report is not None:
        writer.check_report(plan.report, plan.output)
    return load(plan)


def load(plan: BuildPlan) -> Prepared:
    """The same for whoever writes nothing: the output is not looked at.

    Args:
        plan: what to build.

    Returns:
        What was checked and loaded.

    Raises:
        UsageError: an option is out of its range.
        InputError: weights, labels or pictures cannot be used.
    """
    source.check_name(plan.model)
    _check_numbers(plan)
    given_labels = label_rules.read_labels(plan.labels) if plan.labels is not None else None
    folders = dataset.scan(plan.data)
    names = label_rules.check_labels([folder.name for folder in folders], f"folders of {plan.data}, number ")
    if given_labels is not None:
        label_rules.match_folders(given_labels, names, plan.data)
    taught = corrections.read(plan.corrections)
    policy = _policy(plan)
    given = source.read_weights(plan.model, plan.weights)
    spec = source.image_spec(plan.model, given.entry, plan.overrides)
    labels = _labels(given, given_labels, names, policy is not None and policy.new_task)
    if policy is not None:
        lessons.check_pictures(policy, labels, folders)
    network = source.build(plan.model, given, len(labels), spec, plan.seed)
    if policy is not None:
        fresh.begin_anew(network, policy, len(labels), spec, plan.seed)
    home = corrections.sort_out(taught, labels, len(plan.corrections)) if plan.corrections else None
    if home is not None:
        folders = corrections.with_corrections(folders, home)
    absent = label_rules.match_folders(labels, [folder.name for folder in folders], plan.data)
    return Prepared(network, spec, labels, folders, absent, home, policy)


def _policy(plan: BuildPlan) -> Policy | None:
    """The user's choices, held against the network before its weights are read; None where all of it stays frozen."""
    if not plan.choices:
        return None
    outline = source.outline(plan.model)
    policy = resolve(outline, plan.choices, source.last_layer_name(plan.model))
    return policy if policy.trains(outline) else None


def _check_numbers(plan: BuildPlan) -> None:
    plan.recipe.check()
    if plan.limit < LEAST_PICTURES:
        raise UsageError(f"--limit is {plan.limit}, expected at least {LEAST_PICTURES}", "5000 pictures are plenty, 2000 are enough")
    if not 0 <= plan.spare_classes <= MOST_SPARE:
        raise UsageError(f"--spare-classes is {plan.spare_classes}, expected 0 to {MOST_SPARE}", "each costs a row of the head")


def _labels(given: Weights, from_file: Sequence[str] | None, folders: Sequence[str], new_task: bool = False) -> tuple[str, ...]:
    """The labels in the order of the logits: the file's; the folders'; or, where torchvision's own weights know every folder, theirs."""
    chosen = tuple(from_file if from_file is not None else folders)
    if given.classes is None or new_task:
        return chosen
    known = tuple(given.entry.meta["categories"]) if given.entry is not None else ()
    if from_file is None and len(chosen) != given.classes and set(folders) <= set(known):
        return known
    label_rules.check_count(chosen, given.classes, from_file is not None)
    return chosen
