"""Advice measured on a small network: the frozen part runs once, nothing is changed or written, time and memory are kept."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from export_samples import SmallNetwork, silent, write_photos

from edge_agent.errors import InputError, LabelError
from export import advise as advising
from export import cli
from export.advice import NOTHING, SCRATCH, Advice
from export.advise import advise, folded
from export.dataset import Picture
from export.learned import Choice
from export.plan import BuildPlan
from export.source import Overrides


def network(num_classes: int) -> SmallNetwork:
    """The factory that the plan names."""
    return SmallNetwork(num_classes)


@pytest.fixture
def plan(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuildPlan:
    """A network whose trunk is worth something and whose head is not."""
    monkeypatch.setattr(advising, "RECIPE", dataclasses.replace(advising.RECIPE, epochs=6, learning_rate=3e-3, batch=16))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(SmallNetwork(4).state_dict(), tmp_path / "w.pth")
    return BuildPlan(f"{__name__}:network", str(tmp_path / "w.pth"), None, photos, Path(), Overrides(input_size_px=32), limit=48)


def test_every_candidate_is_measured(plan: BuildPlan) -> None:
    seen: list[tuple[str, int, int]] = []
    found = advise(plan, 600, lambda *call: seen.append(call))
    assert [row.name for row in found.rows][:2] == [NOTHING, "head"] and found.rows[-1].name == SCRATCH
    assert all(row.accuracy is not None and row.deviation is not None and row.folds == 5 for row in found.rows)
    assert found.samples == 48 and found.per_class == dict.fromkeys(("blue", "green", "grey", "red"), 12)
    assert found.recommended in {row.name for row in found.rows} and "Measured: " in found.reason
    for stage in {stage for stage, _, _ in seen}:
        last = [call for call in seen if call[0] == stage][-1]
        assert last[1] == last[2]


def test_the_same_seed_gives_the_same_numbers(plan: BuildPlan) -> None:
    def numbers(advice: Advice) -> list[tuple[float | None, float | None]]:
        return [(row.accuracy, row.deviation) for row in advice.rows]

    assert numbers(advise(plan, 600, silent)) == numbers(advise(plan, 600, silent))


def test_the_frozen_part_runs_once(plan: BuildPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    forward = torch.nn.BatchNorm2d.forward

    def counting(self: torch.nn.BatchNorm2d, image: torch.Tensor) -> torch.Tensor:
        if not torch.is_grad_enabled() and not self.training:
            runs.append(len(image))
        return forward(self, image)

    monkeypatch.setattr(torch.nn.BatchNorm2d, "forward", counting)
    study = advise(dataclasses.replace(plan, limit=48), 600, silent)
    frozen = [row for row in study.rows if row.name not in ("all", SCRATCH)]
    estimate = 2 * 32  # a batch, twice, to see how long it takes
    of_others = sum(runs) - len(frozen) * (48 + estimate)
    assert len(frozen) >= 3 and of_others < 2 * 5 * 48 * 8, "the rest are held-out passes of the two that train all of it"


def test_what_time_does_not_allow_is_listed(plan: BuildPlan) -> None:
    found = advise(plan, 0, silent)
    assert all(row.accuracy is None and row.why_not is not None and row.why_not.startswith("would take about ") for row in found.rows)
    assert all(row.seconds > 0 for row in found.rows) and found.recommended == found.rule and "rule alone" in found.reason


def test_what_memory_does_not_hold_is_listed(plan: BuildPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advising, "MEMORY_BYTES", 48 * 1000)
    found = advise(plan, 600, silent)
    assert [row.name for row in found.rows if row.accuracy is None][-2:] == ["all", SCRATCH]
    assert "give a smaller --limit or --input-size" in str(found.rows[-1].why_not)


def test_a_new_task(plan: BuildPlan, tmp_path: Path) -> None:
    three = write_photos(tmp_path / "three", 9, ("blue", "green", "red"))
    with pytest.raises(LabelError, match=r"--reinit head"):
        advise(dataclasses.replace(plan, data=three), 600, silent)
    found = advise(dataclasses.replace(plan, data=three, choices=(Choice("reinit", "head.3"),)), 600, silent)
    assert found.rows[0].name == "head" and found.rows[0].options == ("--reinit", "head.3")


def test_pictures_that_cannot_be_read_are_left_out(plan: BuildPlan, tmp_path: Path) -> None:
    data = write_photos(tmp_path / "data", 6)
    (data / "red/broken.png").write_bytes(b"no picture")
    found = advise(dataclasses.replace(plan, data=data), 600, silent)
    assert found.measured_on == 25 and all(row.accuracy is not None for row in found.rows)


def test_folds_are_even_and_need_pictures() -> None:
    pictures = [Picture(Path(f"{label}/{number}"), label, f"{label}{number:02d}") for label in range(3) for number in range(7)]
    folds = folded(pictures, 1)
    assert folds == folded(pictures[::-1], 1) != folded(pictures, 2)
    for label in range(3):
        counts = [sum(folds[p.digest] == fold for p in pictures if p.label == label) for fold in range(5)]
        assert sorted(counts) == [1, 1, 1, 2, 2]
    with pytest.raises(InputError, match="a label has 2 different pictures, advise needs at least 3 of each"):
        folded([p for p in pictures if p.digest not in {"000", "001", "002", "003", "004"}], 1)


def test_command(plan: BuildPlan, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")
    before = sorted(tmp_path.rglob("*"))
    given = ["--model", plan.model, "--weights", plan.weights, "--data", str(plan.data)]
    command = ["advise", *given, "--input-size", "32", "--limit", "48", "--minutes", "600"]
    assert cli.run(command) == 0
    captured = capsys.readouterr()
    for word in ("what is trained", "samples per parameter", "accuracy", " ± ", NOTHING, SCRATCH, "edge-export build …", "blue 12"):
        assert word in captured.out, captured.out
    assert cli.run([*command, "--minutes", "0", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["rows"][0]["name"] == NOTHING and facts["rows"][-1]["accuracy"] is None and facts["recommended"] == facts["rule"]
    assert sorted(tmp_path.rglob("*")) == before, "nothing is written"
    assert cli.run([*command, "--data", "nowhere"]) == 65
