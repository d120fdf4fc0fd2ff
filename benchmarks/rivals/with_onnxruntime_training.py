"""Rival 2: onnxruntime-training with the whole network as one training artifact, base frozen: the on-device-training tutorial's recipe.

Source: ONNX Runtime's "On-Device Training with ONNX Runtime". Without torch, through the compiled module, which is the least it can take.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import measuring

PHOTOS, FOLDER, CLASSES, SIDE, THREADS, RUNS = sys.argv[1:]
STEPS = 20
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def main() -> None:
    """Measure everything, in the order in which a program would do it."""
    import numpy as np
    from PIL import Image

    from edge_agent.ort import import_onnxruntime

    import_onnxruntime()
    from onnxruntime.capi import _pybind_state as native

    figures = {"import_ms": measuring.since_start_ms()}
    paths, size = measuring.photos(PHOTOS), (int(SIDE), int(SIDE))

    def pixels(place: int) -> np.ndarray:
        picture = Image.open(paths[place % len(paths)]).convert("RGB").resize(size, Image.Resampling.BILINEAR)
        scaled = (np.asarray(picture, np.float32) / 255 - np.float32(MEAN)) / np.float32(DEVIATION)
        return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])

    options = native.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = int(THREADS), 4
    device = native.OrtDevice(native.OrtDevice.cpu(), native.OrtDevice.default_memory(), 0)
    graph = {name: str(Path(FOLDER, f"{name}_model.onnx")) for name in ("training", "eval", "optimizer")}
    state = native.load_checkpoint(str(Path(FOLDER, "checkpoint")))
    module = native.Module(graph["training"], state, graph["eval"], device, options)
    optimizer = native.Optimizer(graph["optimizer"], state, device, options)
    label, image = np.zeros(1, np.int64), pixels(0)

    def evaluate(image: np.ndarray) -> int:
        outputs = native.OrtValueVector()
        module.eval_step([image, label], outputs)
        return int(outputs[1].numpy().argmax())

    def correct(_: int) -> None:
        for _step in range(STEPS):
            module.train_step([image, label], native.OrtValueVector())
            optimizer.optimizer_step()
            module.lazy_reset_grad()

    label[:] = (evaluate(image) + 1) % int(CLASSES)
    figures["first_ms"] = measuring.since_start_ms()
    figures["predict_ms"] = measuring.median_ms(lambda place: evaluate(pixels(place)), int(RUNS))
    figures["pass_ms"] = measuring.median_ms(lambda _: evaluate(image), int(RUNS))
    if THREADS == "1":
        figures["correct_ms"] = measuring.median_ms(correct, 5)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "checkpoint")
            native.save_checkpoint(state, str(file), False)
            figures["written_bytes"] = file.stat().st_size
    measuring.answer(figures)


main()
