"""Rival 1: PyTorch and torchvision as the transfer-learning tutorial uses them: frozen base, an optimizer on the last layer, one sample.

Source: PyTorch's "Transfer Learning for Computer Vision", "ConvNet as fixed feature extractor"; AdamW with its defaults. The base stays in
evaluation mode, which spares it the BatchNorm that moves.
"""

from __future__ import annotations

import copy
import sys

import measuring

PHOTOS, WEIGHTS, CLASSES, SIDE, THREADS, RUNS = sys.argv[1:]
STEPS, MOST_STEPS = 20, 1000


def main() -> None:
    """Measure everything, in the order in which a program would do it."""
    import torch
    from PIL import Image
    from torch import nn
    from torchvision.models import mobilenet_v3_small
    from torchvision.transforms._presets import ImageClassification

    figures = {"import_ms": measuring.since_start_ms()}
    torch.set_num_threads(int(THREADS) or torch.get_num_threads())
    network = mobilenet_v3_small(num_classes=int(CLASSES))
    network.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    network.eval().requires_grad_(False)
    preset, paths = ImageClassification(crop_size=int(SIDE), resize_size=int(SIDE)), measuring.photos(PHOTOS)

    def pixels(place: int) -> torch.Tensor:
        return preset(Image.open(paths[place % len(paths)]).convert("RGB"))[None]

    def predict(place: int) -> int:
        with torch.no_grad():
            return int(network(pixels(place)).softmax(1).argmax())

    first = predict(0)
    figures["first_ms"] = measuring.since_start_ms()
    image = pixels(0)
    figures["predict_ms"] = measuring.median_ms(predict, int(RUNS))
    with torch.no_grad():
        figures["pass_ms"] = measuring.median_ms(lambda _: network(image), int(RUNS))
    last, loss_of, label = network.classifier[3], nn.CrossEntropyLoss(), torch.tensor([(first + 1) % int(CLASSES)])
    untaught = copy.deepcopy(last.state_dict())

    def correct(most: int, until_right: bool) -> int:
        last.load_state_dict(untaught)
        last.requires_grad_(True)
        optimizer = torch.optim.AdamW(last.parameters())
        for step in range(most):
            optimizer.zero_grad()
            logits = network(image)
            if until_right and int(logits.argmax()) == int(label):
                return step
            loss_of(logits, label).backward()
            optimizer.step()
        return most

    if THREADS == "1":
        figures["correct_ms"] = measuring.median_ms(lambda _: correct(STEPS, False), 5)
        figures["until_right_steps"] = correct(MOST_STEPS, True)
        figures["until_right_ms"] = measuring.median_ms(lambda _: correct(MOST_STEPS, True), 3)
    measuring.answer(figures)


main()
