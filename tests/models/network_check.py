"""One network the whole way, in a process of its own: `build NAME DATA OUTPUT INPUT_PX`, then `device ARTIFACT PICTURE` without torch.

Each prints one JSON object. What does not hold ends the process with the reason on stderr.

The weights are random, but not as they are drawn: untrained batch normalisation lets the signal of a deep network die (logits of 1e-9), and
then every comparison holds. So its variances follow the pictures, and the last layer is scaled until logits differ from picture to picture.
Its means stay zero and signals stay small: random layers that are centred, or bend much, double a difference in the last digit every few
layers, and then no comparison holds.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SPARE_CLASSES = 2
CORRECTIONS = 5  # timed; each from the artifact's own network, the one before taken back
PASSES = 3
ROOM = 16.0  # variance that batch normalisation is told, of the one there is: small signals keep sigmoids straight
SPREAD = 0.5  # standard deviation of a logit over the pictures, before calibration
LEAST_SPREAD = 0.01  # after it: below, there would be nothing to compare
RELATIVE = 1e-3  # greatest difference to PyTorch, of the spread


class Fault(Exception):
    """Something that must hold does not."""


def built(name: str, data: Path, output: Path, input_px: int) -> dict[str, Any]:
    """Build and verify.

    Args:
        name: torchvision's.
        data: one folder of pictures per label.
        output: the artifact.
        input_px: side of its input.

    Returns:
        Facts of the artifact.
    """
    from export.build import build
    from export.plan import BuildPlan
    from export.source import Overrides
    from export.verify import verify

    started = time.monotonic()
    weights = output.with_name(f"{output.name}.pth")
    write_weights(name, data, input_px, weights)
    plan = BuildPlan(name, str(weights), None, data, output, Overrides(input_size_px=input_px), SPARE_CLASSES, overwrite=True)
    manifest = build(plan, lambda *_: None).manifest
    weights.unlink()
    built_s = time.monotonic() - started
    report = verify(output)
    checks, spread = report.checks, float(report.artifact.statistics.sentinel_logits.std(axis=0).mean())
    _require(spread >= LEAST_SPREAD, f"logits differ by {spread:.1e} only from picture to picture: nothing was compared")
    _require(manifest.parity.logits <= RELATIVE * spread, f"logits differ from PyTorch's by {manifest.parity.logits:.1e} of {spread:.1e}")
    return {
        "parameters": manifest.model.parameters, "last_layer": manifest.model.last_layer_kind, "taps": len(manifest.taps),
        "artifact_mb": round(sum(entry.bytes for entry in manifest.files.values()) / 1e6, 1), "features": manifest.features,
        "logits": manifest.parity.logits, "context": manifest.parity.context, "gradient": manifest.parity.gradient,
        "spread": round(spread, 3), "checks": len(checks),
        "build_s": round(built_s, 1), "verify_s": round(time.monotonic() - started - built_s, 1),
        "export_mb": peak_mb(),
    }  # fmt: skip


def write_weights(name: str, data: Path, input_px: int, path: Path) -> None:
    """Random weights through which a signal passes; see the top of this file.

    Args:
        name: torchvision's.
        data: one folder of pictures per label.
        input_px: side of the input.
        path: the file to write.
    """
    import torch

    from edge_agent.image import ImageLimits, open_picture, to_tensor
    from export import source

    given, labels = source.Weights(None, "random weights", None, None), sorted(folder for folder in data.iterdir())
    spec = source.image_spec(name, None, source.Overrides(input_size_px=input_px))
    module = source.build(name, given, len(labels), spec, seed=0).module
    pictures = [path for folder in labels for path in sorted(folder.iterdir())]
    images = torch.stack([torch.from_numpy(to_tensor(open_picture(picture, ImageLimits()), spec)) for picture in pictures])

    def fit(norm: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        norm.running_var = ROOM * (given[0] ** 2).mean((0, 2, 3))

    hooks = [part.register_forward_pre_hook(fit) for part in module.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    last = module.get_submodule(source.last_layer_name(name))
    with torch.no_grad():
        last.weight.copy_(torch.randn(last.weight.shape, generator=torch.Generator().manual_seed(0)))  # vit begins with zeros
        logits = module(images)
        last.weight.mul_(SPREAD / float(logits.std(dim=0).mean()))
    for hook in hooks:
        hook.remove()
    torch.save(module.state_dict(), path)


def used(artifact: Path, picture: Path) -> dict[str, Any]:
    """Predict a picture, teach it another label, take that back, and time corrections.

    Args:
        artifact: its directory.
        picture: of none of its labels' folders, or of one: it is taught another label than the network's.

    Returns:
        Times and memory.

    Raises:
        Fault: the correction does not hold, or is not taken back bit for bit.
    """
    from edge_agent import EdgeAgent

    with tempfile.TemporaryDirectory() as state:
        agent = EdgeAgent.open(artifact, state)
        agent.predict(picture)  # the first pass allocates
        seen = [agent.predict(picture) for _ in range(PASSES)]
        before, times = seen[-1], []
        wrong = next(label for label in agent.labels if label != before.label)
        for _ in range(CORRECTIONS):
            done = agent.correct(before, wrong, force=True)  # random weights: the sentinel's accuracy is chance, and is no judge
            times.append(done.elapsed_ms)
            now = agent.predict(picture)
            _require(done.verdict == "accepted" and now.label == wrong, f"taught {wrong}, it says {now.label} ({done.verdict})")
            _require(now.probability >= agent.settings.confidence, f"taught {wrong}, it says so with {now.probability:.3f} only")
            agent.undo(done.id)
            after = agent.predict(picture)
            same = (after.label, after.probability) == (before.label, before.probability)
            _require(same, f"taken back, it says {after.label} {after.probability!r}, before {before.label} {before.probability!r}")
        agent.close()
    return {
        "pass_ms": round(statistics.median(one.elapsed_ms for one in seen), 2), "correction_ms": round(statistics.median(times), 2),
        "steps": done.steps, "probability": round(now.probability, 4), "device_mb": peak_mb(),
    }  # fmt: skip


def peak_mb() -> int:
    """Peak memory of this process; Linux counts in `ru_maxrss` what the parent had when it started it."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text("ascii").splitlines() if line.startswith("VmHWM:"))
        return round(int(line.split()[1]) * 1024 / 1e6)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)


def _require(holds: bool, found: str) -> None:
    if not holds:
        raise Fault(found)


def main(arguments: list[str]) -> int:
    """Run one half; a documented error of ours, and a fault, are one line on stderr."""
    from edge_agent.errors import EdgeAgentError

    try:
        if arguments[0] == "build":
            facts = built(arguments[1], Path(arguments[2]), Path(arguments[3]), int(arguments[4]))
        else:
            facts = used(Path(arguments[1]), Path(arguments[2]))
            _require("torch" not in sys.modules, "torch was imported on the device")
    except (EdgeAgentError, Fault) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(json.dumps(facts))
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    sys.exit(main(sys.argv[1:]))
