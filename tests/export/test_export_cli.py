from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from export_samples import write_photos

from edge_agent.artifact import Artifact
from export import cli
from export.dataset import Progress, Unreadable
from export.learned import read_learned
from export.plan import BuildPlan
from export.recipe import Recipe
from export.source import Overrides

ROOT = Path(__file__).parents[2]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = cli.run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def one_line(error: str) -> str:
    lines = error.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and "; hint: " in lines[0] and "Traceback" not in error
    return lines[0]


def build_arguments(photos: Path, output: Path, *more: object) -> list[object]:
    return ["build", "--model", "squeezenet1_1", "--weights", "none", "--data", photos, "--output", output, "--input-size", 32, *more]


@pytest.fixture(scope="module")
def made(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """An artifact built through the command line in a process of its own, and what it printed."""
    data = shutil.copytree(photos, tmp_path_factory.mktemp("cli") / "data")
    (data / "red/broken.jpg").write_bytes(b"not a picture")
    output = data.parent / "out"
    command = [sys.executable, "-m", "export.cli", *map(str, build_arguments(data, output, "--json", "--seed", 3))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1, "one JSON object and nothing else"
    lines = done.stderr.splitlines()
    assert lines[0] == "reading pictures: 49" and lines[-1].startswith("not read: red/broken.jpg: "), done.stderr
    return output, json.loads(done.stdout)


def test_build_json(made: tuple[Path, dict[str, object]]) -> None:
    output, facts = made
    assert facts["output"] == str(output)
    assert facts["unreadable"] and facts["classes"] == 4 and facts["spare_classes"] == 16
    assert facts["artifact_bytes"] == sum(p.stat().st_size for p in output.rglob("*") if p.is_file() and p.name != "manifest.json")
    keys = {"elapsed_s", "device_memory_bytes", "parity", "temperature", "sentinel", "statistics", "files", "taps", "model", "image"}
    assert keys <= set(facts)
    manifest = json.loads((output / "manifest.json").read_text())
    assert {key: facts[key] for key in ("model", "parity", "files", "statistics")} == {
        key: manifest[key] for key in ("model", "parity", "files", "statistics")
    }
    assert manifest["statistics"]["unreadable"] == 1


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch, built: Path) -> list[BuildPlan]:
    """Plans that `build` was called with; nothing is built, the answer is that of a small artifact with a dozen broken pictures."""
    from export.build import BuildReport

    plans: list[BuildPlan] = []

    def pretend(plan: BuildPlan, progress: Progress) -> BuildReport:
        plans.append(plan)
        progress("pretending", 1, 1)
        unreadable = tuple(Unreadable(Path(f"cat/{number}.jpg"), "damaged") for number in range(12))
        return BuildReport(plan.output, Artifact.open(built).manifest, unreadable, 1.0)

    monkeypatch.setattr("export.build.build", pretend)
    return plans


def test_options_become_the_plan(planned: list[BuildPlan], capsys: pytest.CaptureFixture[str]) -> None:
    arguments = (
        "build --model resnet18 --weights w.pth --labels l.txt --data d --output o --input-size 96 --resize 100 --interpolation bicubic "
        "--mean 0.1 0.2 0.3 --std 0.4 0.5 0.6 --spare-classes 3 --limit 99 --seed 7 --overwrite"
    )
    status, out, err = run(capsys, *arguments.split())
    assert status == 0 and "backbone.onnx" in out and "warning: " in out
    overrides = Overrides(96, 100, "bicubic", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    page, called = Path("o.report.html").absolute(), f"edge-export {arguments}"
    plan = BuildPlan("resnet18", "w.pth", Path("l.txt"), Path("d"), Path("o"), overrides, 3, 99, True, 7, report=page, command=called)
    assert planned == [plan]
    lines = err.splitlines()
    assert lines[0] == "pretending: 1" and lines[1] == "not read: cat/0.jpg: damaged"
    assert lines[-1] == "not read: 2 more" and len(lines) == 12


def test_options_of_quantising_become_the_plan(planned: list[BuildPlan], capsys: pytest.CaptureFixture[str]) -> None:
    arguments = "build --model resnet18 --weights none --data d --output o --quantize int8 --max-accuracy-drop 2.5 --force"
    status, _, _ = run(capsys, *arguments.split())
    assert status == 0
    assert (planned[0].quantize, planned[0].max_accuracy_drop, planned[0].force) == ("int8", 2.5, True)


@pytest.mark.parametrize(
    ("given", "report"), [([], "deep/out.report.html"), (["--report", "a page.html"], "a page.html"), (["--no-report"], None)]
)
def test_where_the_report_lies(
    given: list[str], report: str | None, planned: list[BuildPlan], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    output = tmp_path / "deep" / "out"
    arguments = ["build", "--model", "resnet18", "--weights", "none", "--data", "my photos", "--output", f"{output}/", "--licence", "MIT"]
    status, _, _ = run(capsys, *arguments, *given)
    assert status == 0 and planned[0].licence == "MIT"
    expected = None if report is None else tmp_path / report if not given else Path(report)
    assert planned[0].report == expected
    assert planned[0].command.startswith("edge-export build --model resnet18 --weights none --data 'my photos' --output ")


@pytest.mark.parametrize(
    ("report", "found"), [("out/report.html", "lies in the artifact"), ("out", "lies in the artifact"), (".", "is a directory")]
)
def test_report_in_the_way(report: str, found: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, *build_arguments(photos, tmp_path / "out", "--report", tmp_path / report))
    assert status == 64 and found in one_line(err)
    assert [path.name for path in tmp_path.iterdir()] == ["home"], "nothing was built"


def test_choices_of_layers_keep_their_order(planned: list[BuildPlan], capsys: pytest.CaptureFixture[str]) -> None:
    arguments = (
        "build --finetune features.* --model resnet18 --freeze=features.0 --weights none --reinit head --data d --freeze features.1 "
        "--output o --finetune features.0 --epochs 7 --learning-rate 0.01 --no-flip"
    )
    status, _, _ = run(capsys, *arguments.split())
    assert status == 0
    given = [(choice.action, choice.layers) for choice in planned[0].choices]
    assert given == [
        ("finetune", "features.*"), ("freeze", "features.0"), ("reinit", "head"), ("freeze", "features.1"), ("finetune", "features.0"),
    ]  # fmt: skip
    assert planned[0].recipe == Recipe(epochs=7, learning_rate=0.01, flip=False)


def test_a_new_task_on_a_network_of_ones_own(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A factory's network with weights for six classes learns four labels: the whole way."""
    import torch
    from export_samples import SmallNetwork

    monkeypatch.chdir(tmp_path)
    lines = ("from export_samples import SmallNetwork", "", "def small(num_classes):", "    return SmallNetwork(num_classes)", "")
    (tmp_path / "own_networks.py").write_text("\n".join(lines))
    torch.save(SmallNetwork(6).state_dict(), tmp_path / "six.pth")
    command = ["build", "--model", "own_networks:small", "--weights", "six.pth", "--data", photos, "--input-size", 32, "--output", "out"]
    status, _, err = run(capsys, *command)
    assert status == 65 and "has 4 folders, the network has 6 classes" in one_line(err) and "--reinit head" in err
    status, out, err = run(capsys, *command, "--reinit", "head.3", "--finetune", "third", "--epochs", 2, "--json")
    facts = json.loads(out)
    assert status == 0 and err.count("training: ") == 1, err
    learned = facts["learned"]
    assert learned["layers"] == ["third", "head.3"] and learned["trained"] < learned["parameters"] == facts["model"]["parameters"]
    assert learned["choices"] == [{"action": "reinit", "layers": "head.3"}, {"action": "finetune", "layers": "third"}]
    assert facts["classes"] == 4 and facts["model"]["name"] == "own_networks:small"
    kept = read_learned(tmp_path / "out")
    assert kept is not None and json.loads(json.dumps(dataclasses.asdict(kept))) == learned
    assert run(capsys, "verify", "out")[0] == 0


@pytest.mark.parametrize("wrong", [("--quantize", "int4"), ("--max-accuracy-drop", "-1"), ("--max-accuracy-drop", "a lot")])
def test_wrong_options_of_quantising(wrong: tuple[str, str], planned: list[BuildPlan], capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, *["build", "--model", "resnet18", "--weights", "none", "--data", "d", "--output", "o"], *wrong)
    assert status == 64 and out == "" and planned == [] and wrong[0] in one_line(err)


def test_defaults_of_the_plan(planned: list[BuildPlan], capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, *["build", "--model", "resnet18", "--weights", "none", "--data", "d", "--output", "o", "--json"])
    assert status == 0 and json.loads(out)["output"] == "o"
    page, called = Path("o.report.html").absolute(), "edge-export build --model resnet18 --weights none --data d --output o --json"
    assert planned == [BuildPlan("resnet18", "none", None, Path("d"), Path("o"), report=page, command=called)]


def test_verify(made: tuple[Path, dict[str, object]], capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "verify", made[0])
    assert status == 0 and err == "" and "golden samples" in out
    status, out, err = run(capsys, "verify", made[0], "--json")
    facts = json.loads(out)
    assert status == 0 and err == "" and facts["status"] == "OK" and len(facts["checks"]) == 6


def test_verify_of_a_changed_artifact(made: tuple[Path, dict[str, object]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copied = shutil.copytree(made[0], tmp_path / "copy")
    (copied / "labels.txt").write_text("a\nb\nc\nd\n")
    status, out, err = run(capsys, "verify", copied)
    assert status == 66 and out == "" and "labels.txt" in one_line(err)


def test_models(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.source.names", lambda: ["alexnet", "squeezenet1_0"])
    status, out, err = run(capsys, "models")
    assert status == 0 and err == "" and [line.split()[0] for line in out.splitlines()] == ["name", "alexnet", "squeezenet1_0"]
    status, out, _ = run(capsys, "models", "--json")
    (first, second) = json.loads(out)["models"]
    assert first == {
        "name": "alexnet", "parameters": 61_100_840, "last_layer": "classifier.6", "last_layer_kind": "linear",
        "features": 4096, "input_px": 224,
    }  # fmt: skip
    assert second["last_layer_kind"] == "other"


@pytest.mark.parametrize(
    ("arguments", "status", "found"),
    [
        (["frobnicate"], 64, "No such command"),
        (["build"], 64, "Missing option"),
        (["build", "--model", "resnet18", "--no-such"], 64, "No such option"),
        (["verify"], 64, "Missing argument"),
        (["verify", "nowhere"], 66, "no artifact at nowhere"),
    ],
)
def test_usage(arguments: list[str], status: int, found: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *arguments)
    assert code == status and out == "" and found in one_line(err)


@pytest.mark.parametrize(
    ("change", "status", "found"),
    [
        (["--model", "mobilenet"], 64, "nearest names"),
        (["--weights", "missing.pth"], 65, "no such file"),
        (["--labels", "missing.txt"], 65, "cannot be read"),
        (["--data", "missing"], 65, "No such file"),
        (["--input-size", "0"], 64, "--input-size"),
        (["--input-size", "16"], 65, "does not take pictures of 16×16 px"),
        (["--resize", "8"], 64, "--resize 8 is less than"),
        (["--interpolation", "lanczos"], 64, "lanczos"),
        (["--std", "0", "0", "0"], 64, "--std"),
        (["--spare-classes", "-2"], 64, "--spare-classes is -2"),
        (["--limit", "1"], 64, "--limit is 1"),
        (["--seed", "-1"], 64, "--seed"),
        (["--finetune", "featurs"], 64, "nearest names: features"),
        (["--reinit", "features.2"], 64, "reaches features.2, which has no parameters"),
        (["--finetune", "head", "--epochs", "0"], 64, "--epochs is 0"),
        (["--finetune", "head", "--learning-rate", "nan"], 64, "--learning-rate is nan"),
        (["--model", "no_such_package.nets:make"], 65, "there is no module 'no_such_package'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_leaves_nothing(
    change: list[str],
    status: int,
    found: str,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *build_arguments(photos, tmp_path / "out"), *change)
    last = err.strip().splitlines()[-1]
    assert code == status and out == "" and found in one_line(last), err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]


def test_output_in_the_way(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.txt").write_text("years of work")
    code, _, err = run(capsys, *build_arguments(photos, tmp_path / "out", "--overwrite"))
    assert code == 64 and "exists and is no artifact" in one_line(err)
    assert (tmp_path / "out/thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("data", ["empty", "loose", "single"])
def test_data_without_pictures(data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "data"
    root.mkdir()
    if data == "single":
        write_photos(root, 2, ("red",))
    if data == "loose":
        write_photos(tmp_path / "other", 1, ("red",))
        shutil.copy(tmp_path / "other/red/000.png", root)
    code, _, err = run(capsys, *build_arguments(root, tmp_path / "out"))
    assert code == 65 and str(root) in one_line(err)


def test_unexpected_errors_are_one_line_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], built: Path) -> None:
    def fail(_: Path) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("export.verify.verify", fail)
    code, _, err = run(capsys, "verify", built)
    assert code == 70 and "unexpected ZeroDivisionError: oops; hint: run it again with --debug" in one_line(err)
    with pytest.raises(ZeroDivisionError):
        run(capsys, "--debug", "verify", built)


def test_debug_shows_our_errors_whole(capsys: pytest.CaptureFixture[str]) -> None:
    from edge_agent.errors import ArtifactError

    with pytest.raises(ArtifactError):
        run(capsys, "--debug", "verify", "nowhere")


def test_interrupt(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], built: Path) -> None:
    def interrupt(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("export.verify.verify", interrupt)
    assert run(capsys, "verify", built)[0] == 130


def test_reader_that_goes_away(built: Path) -> None:
    command = f"{sys.executable} -m export.cli verify {built} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1, 141) and "Traceback" not in done.stderr


def test_without_torch(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    code, _, err = run(capsys, "models")
    assert code == 69 and "pip install 'onnx-edge-agent[export]'" in one_line(err)


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "export.cli", "--help"]
    started = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert time.monotonic() - started < 5
    loaded = {line.rsplit("|", 1)[1].strip().split(".")[0] for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert not loaded & {"torch", "torchvision", "onnx", "onnxruntime", "numpy", "PIL"}
    for word in ("build", "verify", "models", "Exit codes"):
        assert word in done.stdout


@pytest.mark.parametrize("command", [["build"], ["verify"], ["models"]])
def test_every_option_has_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, *command, "--help")
    assert status == 0 and "--json" in out
    assert all(option.help for option in cli.cli.commands[command[0]].params if option.param_type_name == "option")  # type: ignore[attr-defined]


def test_verify_needs_no_torch(built: Path) -> None:
    program = "import sys; sys.modules['torch'] = None; from export.cli import run; sys.exit(run(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", program, "verify", str(built)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
