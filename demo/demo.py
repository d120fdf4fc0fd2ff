"""The main job on real photos that the model gets wrong: correct one picture, see what it changed, take it back.

Run by `make demo` in the device environment: no torch. Nothing is left behind: the state lives in a temporary folder.
"""

from __future__ import annotations

import io
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from rich.console import Console
from rich.table import Table
from safetensors.numpy import load

from edge_agent import EdgeAgent, Prediction

ROOT = Path(__file__).resolve().parent.parent
FIELD = ROOT / "artifacts/field"
FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class LastLayer:
    """The network's own last layer, as the tutorials train it: weight `[C, D]`, bias `[C]`."""

    weight: FloatArray
    bias: FloatArray

    def labels(self, features: FloatArray) -> NDArray[np.int64]:
        """The index of the most probable label of each row."""
        return (features @ self.weight.T + self.bias).argmax(1)


def adamw_on_one_sample(layer: LastLayer, features: FloatArray, label: int, steps: int = 20, rate: float = 1e-3) -> LastLayer:
    """The tutorials' recipe: AdamW (Loshchilov and Hutter, 2019) with PyTorch's defaults, on the one sample."""
    parameters = [layer.weight.astype(np.float64), layer.bias.astype(np.float64)]
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]
    for step in range(1, steps + 1):
        logits = parameters[0] @ features + parameters[1]
        error = np.exp(logits - logits.max())
        error /= error.sum()
        error[label] -= 1
        for place, gradient in enumerate((np.outer(error, features), error)):
            first, second = moments[place]
            first[:] = 0.9 * first + 0.1 * gradient
            second[:] = 0.999 * second + 0.001 * gradient**2
            parameters[place] *= 1 - rate * 0.01
            parameters[place] -= rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    return LastLayer(parameters[0].astype(np.float32), parameters[1].astype(np.float32))


def reshots(photo: Image.Image) -> dict[str, Image.Image]:
    """The same subject taken again: flipped, shifted, noisier, darker."""
    noise = np.random.default_rng(7).normal(0, 10, (photo.height, photo.width, 3))
    noisy = np.clip(np.asarray(photo, np.float64) + noise, 0, 255).astype(np.uint8)
    shifted = np.roll(np.pad(np.asarray(photo), ((0, 0), (3, 0), (0, 0)), mode="edge")[:, : photo.width], 1, axis=0)
    return {
        "flipped": photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        "shifted": Image.fromarray(shifted),
        "noisier": Image.fromarray(noisy),
        "darker": ImageEnhance.Brightness(photo).enhance(0.75),
    }


def said(seen: Prediction, truth: str) -> str:
    """The prediction in green when it is right, else in red."""
    colour = "green" if seen.label == truth else "red"
    return f"[{colour}]{seen.label} {seen.probability:.0%}[/{colour}]"


def show_one_photo(agent: EdgeAgent, path: Path, console: Console) -> None:
    """Predict, correct, predict the re-shots, look at the sentinel, compare with the tutorials' recipe, undo."""
    truth = path.parent.name
    photo = Image.open(io.BytesIO(path.read_bytes())).convert("RGB")
    pictures = {"the photo": photo, **reshots(photo)}
    factory = agent.info()
    before = {name: agent.predict(picture) for name, picture in pictures.items()}
    seen = agent.predict(path, name=str(path.relative_to(ROOT)))
    console.print(f"[bold]1  predict[/bold]   {seen.image}: the model says {said(seen, truth)}, it is {truth}")
    done = agent.correct(path, truth)
    console.print(
        f"[bold]2  correct[/bold]   one picture and its mirror image, {done.steps} gradient steps, {done.elapsed_ms:.1f} ms all told: "
        f"[green]{done.verdict}[/green]"
    )
    after = {name: agent.predict(picture) for name, picture in pictures.items()}
    table = Table("3  again      ", "before", "after", box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for name in pictures:
        table.add_row(f"             {name}", said(before[name], truth), said(after[name], truth))
    console.print(table)
    show_harm(agent, seen, before, truth, console)
    undone = agent.undo(done.id)
    same = "[green]bit-equal[/green]" if undone.head_sha256 == factory.head_sha256 else "[red]NOT equal[/red]"
    again = said(agent.predict(photo), truth)
    console.print(f"[bold]5  undo[/bold]      the head is {same} to the one before ({undone.head_sha256[:16]}): {again} again")
    if undone.head_sha256 != factory.head_sha256:
        sys.exit(1)


def last_layer(agent: EdgeAgent) -> LastLayer:
    """The network's own last layer, from the artifact."""
    arrays = load(agent.artifact.read("last_layer.safetensors"))
    return LastLayer(arrays["weight"], arrays["bias"])


def show_harm(agent: EdgeAgent, seen: Prediction, before: dict[str, Prediction], truth: str, console: Console) -> None:
    """The sentinel before and after, beside what the tutorials' recipe does to the same model with the same photo."""
    label = agent.labels.index(truth)
    layer = adamw_on_one_sample(last_layer(agent), seen.seen.features[0], label)
    reshot = sum(int(layer.labels(p.seen.features)[0]) == label for p in before.values())
    ours = agent.history()[-1].sentinel
    theirs = f"{sentinel_accuracy(agent, layer):.1%}, and {reshot} of the {len(before)} above right"
    console.print(f"[bold]4  others[/bold]    {ours.size} sentinel pictures: {ours.before:.1%} right before, {ours.after:.1%} now")
    console.print(f"             the tutorials' AdamW, 20 steps on the last layer: {theirs}")


def sentinel_accuracy(agent: EdgeAgent, layer: LastLayer) -> float:
    """Share of sentinel pictures that a last layer gets right."""
    statistics = agent.artifact.statistics
    return float((layer.labels(statistics.sentinel_features) == statistics.sentinel_labels).mean())


def show_all_photos(agent: EdgeAgent, paths: list[Path], console: Console) -> None:
    """Every field photo, one after the other into the same head, then all of them once more; and the same with the tutorials' recipe."""
    seen = [agent.predict(path) for path in paths]
    truths = [path.parent.name for path in paths]
    times = [agent.correct(path, truth).elapsed_ms for path, truth in zip(paths, truths, strict=True)]
    learned = sum(agent.predict(path).label == truth for path, truth in zip(paths, truths, strict=True))
    layer, labels = last_layer(agent), [agent.labels.index(truth) for truth in truths]
    for one, label in zip(seen, labels, strict=True):
        layer = adamw_on_one_sample(layer, one.seen.features[0], label)
    kept = sum(int(layer.labels(one.seen.features)[0]) == label for one, label in zip(seen, labels, strict=True))
    info = agent.info()
    ours = f"sentinel {info.factory_accuracy:.1%} → {info.sentinel_accuracy:.1%}, {np.median(times):.1f} ms each, all told"
    console.print(f"[bold]6  all {len(paths)}[/bold]    every field photo taught once, in turn: [green]{learned} right[/green], {ours}")
    console.print(f"             the tutorials' AdamW: {kept} right, sentinel → {sentinel_accuracy(agent, layer):.1%}")


def main() -> None:
    """Run the demonstration on `artifacts/default` and `artifacts/field`."""
    console = Console(highlight=False, soft_wrap=True)
    paths = sorted(FIELD.glob("*/*.jpg"))
    with tempfile.TemporaryDirectory() as state:
        agent = EdgeAgent.open(ROOT / "artifacts/default", state=state)
        info = agent.info()
        console.print(
            f"{info.model}, {info.labels} labels, ONNX Runtime {info.onnxruntime}, {info.provider}, engine {info.engine}; "
            f"torch loaded: {'yes' if 'torch' in sys.modules else 'no'}\n"
        )
        show_one_photo(agent, paths[0], console)
        show_all_photos(agent, paths, console)
        agent.close()


if __name__ == "__main__":
    main()
