"""`edge-agent bench`: what it times, what it leaves alone, and its answers."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from on_device import ARTIFACT, PHOTOS, TRUTHS, files_below

from edge_agent.agent import EdgeAgent
from edge_agent.artifact import Artifact
from edge_agent.cli import run
from edge_agent.errors import InputError, StateError
from edge_agent.settings import Settings
from edge_agent.speed import Speed, Times, lessons, measure_speed

pytestmark = pytest.mark.usefixtures("shared_backbone")


@pytest.fixture(scope="module")
def speed(tmp_path_factory: pytest.TempPathFactory, factory: EdgeAgent) -> Speed:
    return measure_speed(str(ARTIFACT), Settings(), (), 4, str(tmp_path_factory.mktemp("bench")), (0, 3, 12))


def in_order(times: Times) -> bool:
    return 0 < times.min_ms <= times.p50_ms <= times.p95_ms <= times.max_ms


class TestLessons:
    def test_each_teaches_what_the_factory_does_not_say(self, default_artifact: Artifact) -> None:
        taught = list(lessons(default_artifact, 300))
        assert len(taught) == 300
        for seen, label in taught:
            factory = default_artifact.labels[int(seen.seen.logits[0].argmax())]
            assert seen.label == factory != label
            assert np.linalg.norm(seen.seen.context) == pytest.approx(1, abs=1e-6)
            assert {array.dtype for array in (seen.seen.logits, seen.seen.features, seen.seen.context)} == {np.dtype(np.float32)}

    def test_real_mistakes_come_first_with_their_right_labels(self, default_artifact: Artifact) -> None:
        statistics = default_artifact.statistics
        wrong = statistics.sentinel_logits.argmax(1) != statistics.sentinel_labels
        truths = Counter(default_artifact.labels[label] for label in statistics.sentinel_labels[wrong])
        assert Counter(label for _, label in lessons(default_artifact, int(wrong.sum()))) == truths

    def test_no_two_are_the_same_picture(self, default_artifact: Artifact) -> None:
        contexts = np.concatenate([seen.seen.context for seen, _ in lessons(default_artifact, 450)])
        alike = contexts @ contexts.T - np.eye(len(contexts))
        assert alike.max() < Settings().same_picture

    def test_the_same_ones_every_time(self, default_artifact: Artifact) -> None:
        first, second = (list(lessons(default_artifact, 260)) for _ in range(2))
        assert [label for _, label in first] == [label for _, label in second]
        assert all(np.array_equal(one.seen.context, two.seen.context) for (one, _), (two, _) in zip(first, second, strict=True))


class TestMeasureSpeed:
    def test_what_was_timed(self, speed: Speed, default_artifact: Artifact) -> None:
        assert [found.remembered for found in speed.corrections] == [0, 3, 12]
        assert speed.pictures == default_artifact.manifest.golden.count
        assert speed.labels == len(default_artifact.labels)
        assert in_order(speed.predict)
        for found in speed.corrections:
            assert found.steps > 0
            assert in_order(found.without_disk) and in_order(found.acknowledged)
            assert found.without_disk.runs == found.acknowledged.runs == 4

    def test_nothing_is_left_behind(self, speed: Speed) -> None:
        assert list(Path(speed.folder).iterdir()) == []

    def test_no_more_is_remembered_than_there_is_room_for(self, tmp_path: Path) -> None:
        found = measure_speed(str(ARTIFACT), Settings(capacity=5), PHOTOS[:2], 1, str(tmp_path), (0, 32, 256))
        assert [each.remembered for each in found.corrections] == [0, 5]
        assert found.pictures == 2

    def test_a_directory_of_pictures(self, tmp_path: Path) -> None:
        folder = PHOTOS[0].parent
        found = measure_speed(str(ARTIFACT), Settings(), [str(folder)], 1, str(tmp_path), (0,))
        assert found.pictures == len([path for path in PHOTOS if path.parent == folder])

    def test_a_picture_that_cannot_be_used(self, tmp_path: Path) -> None:
        (tmp_path / "empty.png").write_bytes(b"")
        for name in ("none.png", "empty.png"):
            with pytest.raises(InputError, match=name):
                measure_speed(str(ARTIFACT), Settings(), [str(tmp_path / name)], 1, None)

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(StateError, match="no state can be made in"):
            measure_speed(str(ARTIFACT), Settings(), (), 1, str(tmp_path / "absent"))


class TestCommand:
    def ask(self, state: Path, capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = run(["--artifact", str(ARTIFACT), "--state", str(state), *arguments])
        found = capfd.readouterr()
        return code, found.out, found.err

    def test_the_state_of_the_device_is_left_alone(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        state = tmp_path / "state"
        assert self.ask(state, capfd, "correct", str(PHOTOS[0]), "--label", TRUTHS[0])[0] == 0
        before = files_below(state)
        code, out, err = self.ask(state, capfd, "bench", "--runs", "1", "--json")
        assert (code, err) == (0, "")
        assert files_below(state) == before
        (line,) = out.splitlines()
        facts = json.loads(line)
        assert [found["remembered"] for found in facts["corrections"]] == [0, 32, 256]
        times = {"runs", "p50_ms", "p95_ms", "min_ms", "max_ms"}
        assert set(facts["predict"]) == times
        assert all(set(found["without_disk"]) == set(found["acknowledged"]) == times for found in facts["corrections"])

    def test_a_table_for_people(self, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("edge_agent.speed.REMEMBERED", (0,))
        monkeypatch.setattr("edge_agent.speed.measure_speed.__defaults__", ((0,),))
        code, out, err = self.ask(tmp_path / "state", capfd, "bench", str(PHOTOS[0]), "--runs", "2")
        assert (code, err) == (0, "")
        assert "predict (1 pictures)" in out and "correct, 0 remembered" in out and "on the disk" in out
        assert not (tmp_path / "state").exists()

    @pytest.mark.parametrize("runs, code", [("0", 64), ("many", 64), ("-3", 64)])
    def test_a_number_of_runs_that_means_nothing(
        self, runs: str, code: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        found = self.ask(tmp_path / "state", capfd, "bench", "--runs", runs)
        assert found[0] == code and found[2].startswith("error: ") and found[2].count("\n") == 1

    def test_a_picture_that_is_not_there(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        code, out, err = self.ask(tmp_path / "state", capfd, "bench", str(tmp_path / "none.png"))
        assert (code, out) == (65, "") and "no such file" in err
