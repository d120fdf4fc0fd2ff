"""One network of each of torchvision's families the whole way, the smallest of each; `make test-models` runs all 80.

All but maxvit, which takes pictures of 224 px alone and is a minute's work: its table is in docs/models.md.

Two processes share them, so that none waits for another's long export and torch is loaded twice, not once for each. The head's graphs are
the same for all of them: each process exports them once.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from export_samples import write_photos

if TYPE_CHECKING:
    from export.dataset import Progress
    from export.head_graph import Head

MODELS = Path(__file__).parents[1] / "models"
# squeezenet and mobilenet_v3 are built by test_build.py. Those that take longest come first.
FAMILIES = {
    "densenet": "densenet121", "efficientnet": "efficientnet_b0", "inception": "inception_v3", "swin": "swin_t", "regnet": "regnet_y_400mf",
    "googlenet": "googlenet", "convnext": "convnext_tiny", "vit": "vit_b_32", "vgg": "vgg11", "shufflenet": "shufflenet_v2_x0_5",
    "mobilenet": "mobilenet_v2", "mnasnet": "mnasnet0_5", "resnet": "resnet18", "alexnet": "alexnet",
}  # fmt: skip
PER_LABEL = 12


def the_whole_way(name: str, data: Path, folder: Path) -> dict[str, Any]:
    """Build, verify, predict, correct, take back; runs in a worker."""
    import torch
    from every_network import INPUT_PX, LEAST_PX
    from network_check import built, used

    from export import assemble

    export_head, kept = assemble.write_head, folder / f"head of {os.getpid()}"

    def write_head(head: Head, output: Path, progress: Progress) -> None:
        if not kept.exists():
            export_head(head, kept, progress)
        shutil.copytree(kept, output, dirs_exist_ok=True)

    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assemble, "write_head", write_head)
        facts = built(name, data, folder / name, LEAST_PX.get(name, INPUT_PX))
    facts |= used(folder / name, sorted(data.glob("*/*.png"))[0])
    shutil.rmtree(folder / name)  # hundreds of megabytes each
    return facts


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[dict[str, Any]]]]:
    """All of them under way."""
    folder = tmp_path_factory.mktemp("families")
    data = write_photos(folder / "photos", PER_LABEL)
    with pytest.MonkeyPatch.context() as patch, ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        patch.syspath_prepend(str(MODELS))
        yield {family: pool.submit(the_whole_way, name, data, folder) for family, name in FAMILIES.items()}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_family(running: dict[str, Future[dict[str, Any]]], family: str) -> None:
    facts = running[family].result()
    assert facts["taps"] >= 1 and facts["checks"] == 6 and facts["probability"] >= 0.9 and facts["steps"] > 0


def test_every_family_has_its_network() -> None:
    """A new version of torchvision may bring a family: then it is named here."""
    from torchvision import models

    modules = {models.get_model_builder(name).__module__.rsplit(".", 1)[1] for name in models.list_models(module=models)}
    here = {models.get_model_builder(name).__module__.rsplit(".", 1)[1] for name in FAMILIES.values()}
    assert modules - here == {"squeezenet", "mobilenetv3", "maxvit"}
