"""Rival 5: LiteRT, for the time of a prediction of the same network; it cannot learn."""

from __future__ import annotations

import sys

import measuring

PHOTOS, NETWORK, SIDE, THREADS, RUNS = sys.argv[1:]
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def main() -> None:
    """Measure everything, in the order in which a program would do it."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter
    from PIL import Image

    figures = {"import_ms": measuring.since_start_ms()}
    paths, size = measuring.photos(PHOTOS), (int(SIDE), int(SIDE))
    interpreter = Interpreter(NETWORK, num_threads=int(THREADS) or None)
    interpreter.allocate_tensors()
    enters, leaves = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def pixels(place: int) -> np.ndarray:
        picture = Image.open(paths[place % len(paths)]).convert("RGB").resize(size, Image.Resampling.BILINEAR)
        scaled = (np.asarray(picture, np.float32) / 255 - np.float32(MEAN)) / np.float32(DEVIATION)
        return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])

    def run(image: np.ndarray) -> int:
        interpreter.set_tensor(enters, image)
        interpreter.invoke()
        return int(interpreter.get_tensor(leaves).argmax())

    image = pixels(0)
    run(image)
    figures["first_ms"] = measuring.since_start_ms()
    figures["predict_ms"] = measuring.median_ms(lambda place: run(pixels(place)), int(RUNS))
    figures["pass_ms"] = measuring.median_ms(lambda _: run(image), int(RUNS))
    measuring.answer(figures)


main()
