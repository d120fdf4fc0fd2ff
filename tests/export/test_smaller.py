from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from export_samples import LABELS, plan_for, prepared_for, silent, small_network, write_artifact
from gated import PX, gated, images, tapped_model

from edge_agent.artifact import Artifact
from edge_agent.errors import ArtifactError, InputError
from edge_agent.manifest import Quantization
from export import half_precision, smaller, taps, timing, verify
from export.build import BuildReport
from export.dataset import Unreadable
from export.fit import Fitted, fit
from export.measure import Measured
from export.plan import BuildPlan, Prepared
from export.printing import build_facts
from export.smaller import Smaller, tapped_onnx
from export.tapped import Tapped
from export.written import session_for

ROOT = Path(__file__).parents[2]
Built = tuple[BuildPlan, Prepared, Fitted, Path]


def quantised(photos: Path, kind: str, folder: Path) -> Built:
    plan = dataclasses.replace(plan_for(photos, folder), quantize=kind, force=True)
    prepared = prepared_for(photos, gated())
    fitted = fit(plan, prepared, silent)
    return plan, prepared, fitted, write_artifact((plan, prepared, fitted), folder)


@pytest.fixture(scope="module")
def in_int8(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return quantised(photos, "int8", tmp_path_factory.mktemp("int8") / "artifact")


@pytest.fixture(scope="module")
def in_float16(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return quantised(photos, "float16", tmp_path_factory.mktemp("float16") / "artifact")


@pytest.fixture(params=["int8", "float16"])
def either(request: pytest.FixtureRequest) -> Built:
    found: Built = request.getfixturevalue(f"in_{request.param}")
    return found


def test_statistics_are_of_the_quantised_network(either: Built) -> None:
    _, _, fitted, path = either
    assert fitted.smaller is not None
    artifact = Artifact.open(path)
    session = session_for(artifact.read("backbone.onnx"), "backbone.onnx")
    from edge_agent.image import ImageLimits, open_picture, to_tensor

    picture = fitted.measured.pictures[3]
    tensor = to_tensor(open_picture(picture.path, ImageLimits()), artifact.manifest.image)[None]
    logits, features, context = session.run(["logits", "features", "context"], {"image": tensor})
    assert np.abs(logits * fitted.backbone.temperature - fitted.measured.logits[3]).max() < 1e-3
    assert np.abs(features - fitted.features[3]).max() < 1e-4
    assert np.abs(context - fitted.context.apply(fitted.measured.raw[3:4])).max() < 1e-4


def test_the_sentinel_is_what_the_device_will_see(either: Built) -> None:
    artifact = Artifact.open(either[3])
    accuracy = (artifact.statistics.sentinel_logits.argmax(1) == artifact.statistics.sentinel_labels).mean()
    assert artifact.manifest.sentinel.accuracy == pytest.approx(float(accuracy))


def test_the_manifest_says_how_it_was_quantised(either: Built) -> None:
    plan, _, fitted, path = either
    manifest = Artifact.open(path).manifest
    assert fitted.smaller is not None and manifest.quantization == fitted.smaller.facts
    assert manifest.quantization is not None and manifest.quantization.kind == plan.quantize
    assert manifest.quantization.pictures == 48
    assert f"{plan.quantize}: " in build_facts(manifest)["quantised"]


def test_verify_accepts_it(either: Built) -> None:
    report = verify.verify(either[3])
    golden = next(check for check in report.checks if check.name == "golden samples")
    assert golden.difference == 0 and golden.tolerance is not None and golden.tolerance > 0


def test_the_golden_tolerance_covers_another_way_of_rounding(either: Built) -> None:
    artifact = Artifact.open(either[3])
    from export.sentinel import golden_logits
    from export.written import WrittenBackbone

    files = [artifact.read(f"golden/{number:02d}.png") for number in range(artifact.manifest.golden.count)]
    from edge_agent.image import ImageLimits

    session = WrittenBackbone(artifact.read("backbone.onnx"), optimised=False)
    found = golden_logits(session, files, artifact.manifest.image, ImageLimits())
    assert np.abs(found - artifact.statistics.golden_logits).max() <= artifact.manifest.golden.tolerance


def test_parity_says_what_quantising_changed(either: Built) -> None:
    parity = Artifact.open(either[3]).manifest.parity
    assert parity.logits > 1e-5 and parity.context < 1e-4 and parity.gradient < 1e-5


def test_the_same_inputs_give_the_same_bytes(in_int8: Built, tmp_path: Path) -> None:
    again = quantised(in_int8[0].data, "int8", tmp_path / "again")[3]
    assert (again / "manifest.json").read_bytes() == (in_int8[3] / "manifest.json").read_bytes()


def test_the_device_corrects_on_it(either: Built, tmp_path: Path) -> None:
    python = os.environ.get("EDGE_AGENT_TEST_DEVICE", sys.executable)
    picture = next(iter(sorted((either[0].data / "red").glob("*.png"))))
    start = [python, "-m", "edge_agent.cli", "--artifact", str(either[3]), "--state", str(tmp_path / "state")]
    answers = []
    for command in (
        ["predict", str(picture)],
        ["correct", str(picture), "--label", "blue", "--force"],
        ["predict", str(picture)],
        ["export-onnx", str(tmp_path / "corrected.onnx")],
        ["health"],
    ):
        done = subprocess.run([*start, *command, "--json"], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or command[0] == "health", done.stderr
        answers.append(json.loads(done.stdout))
    assert answers[1]["verdict"] in ("accepted", "already_correct") and answers[2]["label"] == "blue"
    assert answers[3]["max_difference"] < 1e-4
    golden = next(check for check in answers[4]["checks"] if check["name"] == "golden")
    assert golden["status"] == "OK", golden


def measured(pictures: int, right: int) -> Measured:
    logits = np.zeros((pictures, 2), np.float32)
    logits[:right, 0] = 1
    logits[right:, 1] = 1
    from export.dataset import Picture

    shown = tuple(Picture(Path(f"{number}.png"), 0, f"{number:064x}") for number in range(pictures))
    return Measured(shown, logits, np.zeros((pictures, 3), np.float32), np.zeros(pictures, np.int64), tuple[Unreadable, ...]())


@pytest.fixture
def in_float_all_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """The float network is right on every picture."""
    monkeypatch.setattr(smaller, "measure", lambda network, pictures, *rest: measured(len(pictures), len(pictures)))


def compared(photos: Path, right: int, **options: object) -> Quantization:
    plan = dataclasses.replace(plan_for(photos, Path("unused")), quantize="int8", **options)  # type: ignore[arg-type]
    prepared = prepared_for(photos, small_network())
    network = Tapped(taps.cut(small_network(), 32, 32)).eval()
    return smaller.compare(plan, prepared, network, measured(100, right), measured(100, right), silent)


@pytest.mark.usefixtures("in_float_all_right")
def test_a_loss_beyond_the_plan_is_refused(photos: Path) -> None:
    with pytest.raises(ArtifactError, match=r"costs 2.00 points .*100.0% in float32, 98.0% in int8, on 200 .* at most 1 are .*--force"):
        compared(photos, 98)


@pytest.mark.usefixtures("in_float_all_right")
@pytest.mark.parametrize("options", [{"force": True}, {"max_accuracy_drop": 2.0}, {"max_accuracy_drop": 50.0}])
def test_a_loss_that_is_forced_or_allowed_is_recorded(photos: Path, options: dict[str, object]) -> None:
    assert compared(photos, 98, **options) == Quantization("int8", 0.98, 1.0, 200)


@pytest.mark.usefixtures("in_float_all_right")
def test_one_point_is_accepted_by_default(photos: Path) -> None:
    assert compared(photos, 99).accuracy == 0.99


@pytest.mark.usefixtures("in_float_all_right")
def test_chance_is_not_compared_with_chance(photos: Path) -> None:
    plan = dataclasses.replace(plan_for(photos, Path("unused")), quantize="int8")
    prepared = prepared_for(photos, small_network())
    random = dataclasses.replace(prepared.network, weights=dataclasses.replace(prepared.network.weights, state=None))
    network = Tapped(taps.cut(small_network(), 32, 32)).eval()
    found = smaller.compare(plan, dataclasses.replace(prepared, network=random), network, measured(9, 0), measured(9, 0), silent)
    assert found.accuracy == 0


def test_what_cannot_be_quantised_is_refused_before_a_picture_is_read(photos: Path) -> None:
    class Flat(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = torch.nn.Linear(3, 4)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.last(image.relu().sigmoid().relu().mean((2, 3)))

    plan = dataclasses.replace(plan_for(photos, Path("unused")), quantize="int8")
    seen: list[str] = []
    with pytest.raises(InputError, match="small cannot be quantised to int8: nothing but its last layer"):
        fit(plan, prepared_for(photos, Flat().eval()), lambda stage, done, total: seen.append(stage))
    assert seen == []


def test_numbers_beyond_float16_are_said_so() -> None:
    network = gated()
    for part in (network.stem, network.wide, network.deep):
        part[0].weight.mul_(3000)
    model = tapped_model(network)
    found = half_precision.to_float16(model)
    made = Smaller("float16", model, found, session_for(found.SerializeToString(), "it"))
    with pytest.raises(InputError, match="NaN or Inf in float16: its numbers go beyond 65504; hint: build it without"):
        made(torch.from_numpy(images(4)))


def test_tapped_onnx_is_the_network(photos: Path) -> None:
    prepared = prepared_for(photos, gated())
    model = tapped_onnx(Tapped(taps.cut(gated(), PX, PX)).eval(), prepared, "float16")
    assert [value.name for value in model.graph.output] == ["logits", "features", "taps"] and prepared.labels == LABELS


def test_both_networks_are_timed(either: Built) -> None:
    seen: list[tuple[str, int, int]] = []
    found = timing.beside_float(either[3], either[2], lambda *call: seen.append(call))
    assert found.kind == either[0].quantize and found.float_ms > 0 and found.quantised_ms > 0
    assert seen == [(timing.STAGE, 0, 1), (timing.STAGE, 1, 1)]


def test_a_build_without_quantising_has_nothing_to_time(sample: tuple[BuildPlan, Prepared, Fitted], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to compare"):
        timing.beside_float(tmp_path, sample[2], silent)


@pytest.mark.parametrize(("kind", "word"), [("int8", "only the file is smaller"), ("float16", "for GPU providers")])
def test_the_report_says_when_it_does_not_pay(in_int8: Built, kind: str, word: str) -> None:
    manifest = Artifact.open(in_int8[3]).manifest
    slow = BuildReport(in_int8[3], manifest, (), 1.0, timing.Timing(kind, 2.0, 2.2))
    assert slow.timing is not None and not slow.timing.pays and word in slow.warnings[-1]
    assert f"{kind} does not pay on this machine: 2.20 ms in {kind}, 2.00 ms in float32, one thread: ratio 1.10" in slow.warnings[-1]
    quick = BuildReport(in_int8[3], manifest, (), 1.0, timing.Timing(kind, 2.0, 1.0))
    assert quick.timing is not None and quick.timing.pays and quick.warnings == manifest.statistics.warnings
    assert quick.timing.facts() == {"kind": kind, "float_ms": 2.0, "quantised_ms": 1.0, "ratio": 0.5, "pays": True}
