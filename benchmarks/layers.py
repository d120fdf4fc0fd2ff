"""What each choice of layers reaches with few and with many photos, and whether `edge-export advise` recommends the best: docs/layers.md.

The weights were trained on CIFAR-10's training photos, so everything here is learned and judged on its test photos. Two tasks: the photos
as they are, which the network knows, and the same photos as another camera would take them (grey, dark, noisy), which it does not.
"""

from __future__ import annotations

import argparse
import copy
import io
import tempfile
import time
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from edge_agent.image import ImageLimits
from export import dataset, fresh, halves, lessons
from export.advice import NOTHING, SCRATCH, Advice, Row
from export.advise import advise
from export.ladder import Candidate, ladder
from export.learned import Choice
from export.plan import BuildPlan, Prepared, load
from export.policy import resolve
from export.recipe import Recipe
from export.source import Overrides, Source

PIXELS, LAST = 64, "classifier.3"
JUDGED = 100  # photos of each label that nothing is learned from
EPOCHS = 8
TASKS = ("the photos as they are", "another camera: grey, dark, noisy")


@dataclass(frozen=True)
class Result:
    """One way of training on one set of photos."""

    candidate: Candidate
    accuracy: float
    seconds: float
    passes: int


@dataclass(frozen=True)
class Study:
    """All ways on one set of photos, and the advice."""

    task: str
    per_label: int
    results: tuple[Result, ...]
    advice: Advice
    advice_s: float

    @property
    def best(self) -> Result:
        """The most accurate."""
        return max(self.results, key=lambda result: result.accuracy)

    @property
    def advised(self) -> Result:
        """What `advise` recommends."""
        return next(result for result in self.results if result.candidate.name == self.advice.recommended)


def other_camera(photo: Image.Image, seed: int) -> Image.Image:
    """The photo in grey, at a third of the light, with the noise of a small sensor."""
    grey = np.asarray(ImageOps.grayscale(photo), np.float32)
    seen = grey * 0.35 + 10 + np.random.default_rng(seed).normal(0, 8, grey.shape)
    return Image.fromarray(np.clip(seen, 0, 255).astype(np.uint8)).convert("RGB")


def write_photos(archive: Path, folder: Path, task: str, few: int, many: int) -> None:
    """`few`, `many` and `judged` below the folder, each with a folder per label."""
    by_label: dict[str, list[str]] = defaultdict(list)
    with zipfile.ZipFile(archive) as photos:
        for name in sorted(name for name in photos.namelist() if name.endswith(".jpg")):
            by_label[name.split("/")[-2]].append(name)
        for label, names in by_label.items():
            parts = {"judged": names[-JUDGED:], "few": names[:few], "many": names[:many]}
            for part, chosen in parts.items():
                (folder / part / label).mkdir(parents=True)
                for number, name in enumerate(chosen):
                    photo = Image.open(io.BytesIO(photos.read(name))).convert("RGB")
                    seen = photo if task == TASKS[0] else other_camera(photo, number)
                    seen.save(folder / part / label / f"{number:04d}.png")


def accuracy(network: torch.nn.Module, data: Path, prepared: Prepared) -> float:
    """Share of the photos that are right."""
    found = dataset.scan(data)
    pictures = [dataset.Picture(path, prepared.labels.index(folder.name), "") for folder in found for path in folder.files]
    right = 0
    with torch.no_grad():
        for good, images, _ in dataset.batches(pictures, prepared.spec, ImageLimits(), 64):
            right += int((network(torch.from_numpy(images)).argmax(1) == torch.tensor([p.label for p in good])).sum())
    return right / len(pictures)


def trained(candidate: Candidate, prepared: Prepared, split: dataset.Split, recipe: Recipe) -> tuple[torch.nn.Module, int]:
    """A copy of the network, trained as the candidate says."""
    network = Source(prepared.network.name, copy.deepcopy(prepared.network.module), prepared.network.weights)
    if candidate.name == NOTHING:
        return network.module, 0
    policy = resolve(network.module, candidate.choices, LAST)
    if candidate.name in (SCRATCH, "head, from scratch"):
        fresh.begin_anew(network, policy, len(prepared.labels), prepared.spec, 0)
    learned = lessons.learn(network, policy, split, prepared.spec, ImageLimits(), recipe, 0, lambda *_: None)
    return network.module, len(learned.curve) - 1


def study(task: str, folder: Path, part: str, per_label: int, weights: Path, minutes: float) -> Study:
    plan = BuildPlan("mobilenet_v3_small", str(weights), None, folder / part, Path(), Overrides(input_size_px=PIXELS), limit=5000)
    prepared = load(plan)
    split = dataset.split(prepared.folders, prepared.labels, plan.limit, lambda *_: None)
    module = prepared.network.module
    candidates = list(ladder(module, halves.trace(module), LAST, False))
    candidates.insert(2, Candidate("head, from scratch", (Choice("reinit", LAST),), candidates[1].parameters))
    results = []
    for candidate in candidates:
        started = time.monotonic()
        network, passes = trained(candidate, prepared, split, Recipe(epochs=EPOCHS if candidate.parameters > 20_000 else 40))
        seconds = time.monotonic() - started
        results.append(Result(candidate, accuracy(network, folder / "judged", prepared), seconds, passes))
        print(f"{task}, {per_label} per label, {candidate.name}: {results[-1].accuracy:.3f} in {seconds:.0f} s", flush=True)
    started = time.monotonic()
    advice = advise(plan, minutes, lambda *_: None)
    found = Study(task, per_label, tuple(results), advice, time.monotonic() - started)
    print(f"advised: {advice.recommended}; best: {found.best.candidate.name}", flush=True)
    return found


TEXT = """# Which layers to train

mobilenet_v3_small at {pixels} px, trained on CIFAR-10's training photos; everything below is learned and judged on its test photos, which
it had not seen. Accuracy on {judged} photos that nothing was learned from (standard error about 1.3 points); `advise` saw the photos to
learn from only. Augmentation, early stop and learning rates are those of `edge-export build`, at most {epochs} passes where more than the
last layer is trained. The other camera is made from the same photos: grey, a third of the light, noise. One thread, {seconds:.0f} s in all;
the command that prints it again:

    {command}
"""
COMMAND = "make bench-layers TEST_PHOTOS=../shared/data/cifar10-test.zip WEIGHTS=../shared/data/mobilenet_v3_small-cifar10-64px.pth"


def page(studies: Sequence[Study], seconds: float) -> str:
    text = TEXT.format(pixels=PIXELS, judged=10 * JUDGED, epochs=EPOCHS, seconds=seconds, command=COMMAND)
    return "\n".join([text, *(section(found) for found in studies)])


def section(found: Study) -> str:
    lines = [f"## {found.task[0].upper()}{found.task[1:]}, {found.per_label} photos per label", ""]
    lines += ["| what is trained | parameters | accuracy | time | passes | `advise` measured |", "|---|---:|---:|---:|---:|---:|"]
    measured = {row.name: row for row in found.advice.rows}
    for result in found.results:
        row = measured.get(result.candidate.name)
        mark = "**" if result is found.best else ""
        shown = f"{result.candidate.name} | {result.candidate.parameters:,} | {mark}{100 * result.accuracy:.1f} %{mark}"
        lines.append(f"| {shown} | {result.seconds:.0f} s | {result.passes} | {cell(row)} |")
    gap = 100 * (found.best.accuracy - found.advised.accuracy)
    verdict = "the best" if gap == 0 else f"{gap:.1f} points below the best, {found.best.candidate.name}"
    advised = f"`advise` recommends **{found.advice.recommended}** after {found.advice_s:.0f} s: {verdict}. Its reason:"
    return "\n".join([*lines, "", advised, "", f"> {found.advice.reason}", ""])


def cell(row: Row | None) -> str:
    if row is None:
        return ""
    return "not in the time" if row.accuracy is None else f"{100 * row.accuracy:.1f} ± {100 * (row.deviation or 0):.1f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="cifar10-test.zip")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--few", type=int, default=10, help="photos per label")
    parser.add_argument("--many", type=int, default=100, help="photos per label")
    parser.add_argument("--minutes", type=float, default=0.5, help="what advise may take, each time")
    parser.add_argument("--output", type=Path, default=Path("docs/layers.md"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    started, studies = time.monotonic(), []
    for task in TASKS:
        with tempfile.TemporaryDirectory() as folder:
            write_photos(given.photos, Path(folder), task, given.few, given.many)
            for part, count in (("few", given.few), ("many", given.many)):
                studies.append(study(task, Path(folder), part, count, given.weights, given.minutes))
                given.output.write_text(page(studies, time.monotonic() - started), "utf-8")


if __name__ == "__main__":
    main()
