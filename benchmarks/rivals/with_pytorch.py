"""Rival 1: PyTorch and torchvision as the transfer-learning tutorial uses them: frozen base, an optimizer on the last layer, one sample.

Source: PyTorch's "Transfer Learning for Computer Vision", "ConvNet as fixed feature extractor"; AdamW with its defaults. The base stays in
evaluation mode, which spares it the BatchNorm that moves.
"""

from __future__ import annotations

import copy
import statistics
import sys
from pathlib import Path
from typing import Any

import measuring

PHOTOS, WEIGHTS, TRAINED, CLASSES, SIDE, THREADS, RUNS = sys.argv[1:]
STEPS, MOST_STEPS, TRAINED_PX = 20, 1000, 64


def main() -> None:
    """Measure everything, in the order in which a program would do it."""
    import torch
    from PIL import Image
    from torch import nn
    from torchvision.models import mobilenet_v3_small
    from torchvision.transforms._presets import ImageClassification

    figures = {"import_ms": measuring.since_start_ms()}
    torch.set_num_threads(int(THREADS) or torch.get_num_threads())
    paths = measuring.photos(PHOTOS)

    def loaded(file: str) -> nn.Module:
        network = mobilenet_v3_small(num_classes=int(CLASSES))
        network.load_state_dict(torch.load(file, weights_only=True))
        return network.eval().requires_grad_(False)

    def pixels(place: int, side: int = int(SIDE)) -> torch.Tensor:
        preset = ImageClassification(crop_size=side, resize_size=side)
        return preset(Image.open(paths[place % len(paths)]).convert("RGB"))[None]

    network = loaded(WEIGHTS)

    def predict(place: int) -> int:
        with torch.no_grad():
            return int(network(pixels(place)).softmax(1).argmax())

    first = predict(0)
    figures["first_ms"] = measuring.since_start_ms()
    image = pixels(0)
    figures["predict_ms"] = measuring.median_ms(predict, int(RUNS))
    with torch.no_grad():
        figures["pass_ms"] = measuring.median_ms(lambda _: network(image), int(RUNS))
    if THREADS == "1":
        figures["correct_ms"] = measuring.median_ms(lambda _: correct(network, image, (first + 1) % int(CLASSES), STEPS), 5)
        trained, names = loaded(TRAINED), sorted({Path(path).parent.name for path in paths})
        steps = [
            correct(trained, pixels(place, TRAINED_PX), names.index(Path(path).parent.name), MOST_STEPS, True)
            for place, path in enumerate(paths)
        ]  # photos that this network gets wrong
        figures["until_right_steps"] = statistics.median(steps)
        figures["until_right_ms"] = figures["correct_ms"] / STEPS * figures["until_right_steps"]
    measuring.answer(figures)


def correct(network: Any, image: Any, label: int, most: int, until_right: bool = False) -> int:
    """Teach one picture, and forget it again; returns the steps."""
    import torch

    last, target = network.classifier[3].requires_grad_(True), torch.tensor([label])
    before = copy.deepcopy(last.state_dict())
    optimizer, steps = torch.optim.AdamW(last.parameters()), 0
    while steps < most:
        optimizer.zero_grad()
        logits = network(image)
        if until_right and int(logits.argmax()) == label:
            break
        torch.nn.functional.cross_entropy(logits, target).backward()
        optimizer.step()
        steps += 1
    last.load_state_dict(before)
    return steps


main()
