"""EdgeAgent: the verbs, one after another, on the default artifact and photos that it gets wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from on_device import ARTIFACT, PHOTOS, TRUTHS, files_below, in_fresh_process
from PIL import Image

from edge_agent import runtime
from edge_agent.agent import EdgeAgent
from edge_agent.artifact import Artifact
from edge_agent.errors import ArtifactError, InputError, LabelError, RuntimeUnavailable, StateBusyError, StateError, UsageError
from edge_agent.journal_writer import Writer
from edge_agent.results import Prediction
from edge_agent.runtime import Seen
from edge_agent.settings import Settings

PHOTO, TRUTH = PHOTOS[0], TRUTHS[0]
pytestmark = pytest.mark.usefixtures("shared_backbone")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[EdgeAgent]:
    """An agent whose guard refuses whatever breaks one sentinel picture, on a state of its own."""
    settings = Settings(guard_drop=0.0, guard_total=0.0, exponent_low=1.0, leak_budget=100)
    opened = EdgeAgent.open(ARTIFACT, tmp_path / "strict", settings=settings)
    yield opened
    opened.close()


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures went through the backbone, pass by pass."""
    found: list[int] = []
    real = runtime.Backbone.run

    def counted(self: runtime.Backbone, images: np.ndarray) -> Seen:
        found.append(len(images))
        return real(self, images)

    monkeypatch.setattr(runtime.Backbone, "run", counted)
    return found


def breaker(agent: EdgeAgent) -> tuple[Prediction, str]:
    """A correction that breaks sentinel pictures: in the middle of all ships, where a large step is needed towards a wrong label."""
    statistics, seen = agent.artifact.statistics, agent.predict(PHOTO)
    middle = statistics.sentinel_context[statistics.sentinel_labels == 8].sum(0, keepdims=True)
    context = (middle / np.linalg.norm(middle)).astype(np.float32)
    logits = np.where(np.arange(10) == 6, -40, seen.seen.logits).astype(np.float32)
    return replace(seen, seen=Seen(logits, seen.seen.features, context)), "frog"


class TestOpen:
    def test_nothing_is_written(self, state: Path) -> None:
        agent = EdgeAgent.open(ARTIFACT, state)
        agent.predict(PHOTO)
        assert agent.history() == ()
        assert agent.info().generation == 0
        assert not state.exists()

    def test_state_by_default_is_the_artifacts_own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        agent = EdgeAgent.open(ARTIFACT)
        assert agent.state == tmp_path / "home" / "state" / "edge-agent" / agent.artifact.digest[:12]
        monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "systemd"))
        assert EdgeAgent.open(ARTIFACT).state == tmp_path / "systemd"

    def test_arguments_go_over_settings(self, state: Path) -> None:
        settings = Settings(engine="onnxruntime-training", provider="auto")
        info = EdgeAgent.open(ARTIFACT, state, provider="CPUExecutionProvider", engine="portable", settings=settings).info()
        assert (info.engine, info.provider) == ("portable", "CPUExecutionProvider")
        assert (info.engine_reason, info.provider_reason) == ("asked for", "asked for")

    def test_environment_is_read(self, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("EDGE_AGENT_ENGINE", "portable")
        assert EdgeAgent.open(ARTIFACT, state).info().engine == "portable"

    def test_artifact_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ArtifactError, match="no artifact at"):
            EdgeAgent.open(tmp_path / "nowhere", tmp_path / "state")

    def test_provider_that_is_not_there(self, state: Path) -> None:
        with pytest.raises(RuntimeUnavailable, match="'TensorrtExecutionProvider' is not supported"):
            EdgeAgent.open(ARTIFACT, state, provider="TensorrtExecutionProvider")

    def test_state_of_another_artifact(self, agent: EdgeAgent, state: Path, default_artifact: Artifact) -> None:
        agent.correct(PHOTO, TRUTH)
        before = files_below(state)
        other = EdgeAgent(replace(default_artifact, digest="b" * 64), state, Settings(), lambda: pytest.fail("no clock is needed"))
        with pytest.raises(StateError, match="another artifact"):
            other.predict(PHOTO)
        with pytest.raises(StateError, match="another artifact"):
            other.add_label("newt")
        assert files_below(state) == before


class TestPredict:
    def test_answer(self, factory: EdgeAgent) -> None:
        seen = factory.predict(PHOTO)
        assert seen.image == str(PHOTO)
        assert seen.label == seen.top[0].label != TRUTH
        assert seen.probability == seen.top[0].probability
        assert len(seen.top) == 5
        assert [r.probability for r in seen.top] == sorted((r.probability for r in seen.top), reverse=True)
        assert (seen.generation, seen.artifact) == (0, factory.artifact.digest)
        assert seen.elapsed_ms > 0
        assert len(seen.sample_id) == 16
        assert seen.picture == PHOTO.read_bytes()

    def test_top_is_at_most_every_label(self, factory: EdgeAgent) -> None:
        everything = factory.predict(PHOTO, top=99).top
        assert sorted(r.label for r in everything) == sorted(factory.labels)
        assert sum(r.probability for r in everything) == pytest.approx(1, abs=1e-5)
        assert factory.predict(PHOTO, top=1).top == everything[:1]
        for top in (0, -1):
            with pytest.raises(UsageError, match="expected 1 or more"):
                factory.predict(PHOTO, top=top)

    def test_every_kind_of_source_gives_the_same(self, factory: EdgeAgent) -> None:
        expected = factory.predict(PHOTO)
        with Image.open(PHOTO) as image:
            pixels = np.asarray(image.convert("RGB"))
            for source in (str(PHOTO), PHOTO.read_bytes(), image, pixels):
                found = factory.predict(source)  # type: ignore[arg-type]
                assert found.top == expected.top
                assert found.sample_id == expected.sample_id
        assert factory.predict(PHOTO.read_bytes()).image is None
        assert factory.predict(PHOTO.read_bytes(), name="belt").image == "belt"
        assert factory.predict(pixels).picture is None

    def test_sample_id_names_the_pixels(self, seen: tuple[Prediction, ...]) -> None:
        assert len({prediction.sample_id for prediction in seen}) == len(seen)

    def test_picture_that_cannot_be_used_is_named(self, factory: EdgeAgent, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no such file"):
            factory.predict(tmp_path / "missing.jpg")
        with pytest.raises(InputError, match="belt cannot be read"):
            factory.predict(b"text", name="belt")

    def test_name_that_is_not_text(self, agent: EdgeAgent, tmp_path: Path) -> None:
        path = tmp_path / "caf\udce9.jpg"
        path.write_bytes(PHOTO.read_bytes())
        assert agent.predict(path).image == str(tmp_path / "caf?.jpg")
        assert agent.correct(path, TRUTH).image == str(tmp_path / "caf?.jpg")
        assert agent.history()[0].image == str(tmp_path / "caf?.jpg")

    def test_probability_is_calibrated_and_not_the_raw_networks(self, factory: EdgeAgent, default_artifact: Artifact) -> None:
        for number, expected in enumerate(default_artifact.statistics.golden_logits):
            found = factory.predict(default_artifact.read(f"golden/{number:02}.png"), top=1)
            assert found.label == factory.labels[int(expected.argmax())]
            assert np.abs(found.seen.logits[0] - expected).max() <= default_artifact.manifest.golden.tolerance


class TestCorrect:
    def test_field_photos_are_all_learned(self, agent: EdgeAgent) -> None:
        for number, (photo, truth) in enumerate(zip(PHOTOS, TRUTHS, strict=True), 1):
            done = agent.correct(photo, truth)
            assert (done.id, done.generation, done.verdict) == (number, number, "accepted")
            assert done.was.label != truth
            assert done.now.label == truth
            assert done.now.probability >= 0.9
            assert done.steps > 0
            assert done.sentinel.after >= done.sentinel.before - 0.02
        for photo, truth in zip(PHOTOS, TRUTHS, strict=True):
            after = agent.predict(photo)
            assert (after.label, after.generation) == (truth, 12)
            assert after.probability >= 0.9

    def test_answer_says_what_history_says(self, agent: EdgeAgent) -> None:
        done = agent.correct(PHOTO, TRUTH)
        (entry,) = agent.history()
        for name in ("id", "image", "label", "verdict", "reason", "steps", "sentinel", "generation"):
            assert getattr(entry, name) == getattr(done, name)
        assert (entry.was_label, entry.was_probability) == (done.was.label, done.was.probability)
        assert (entry.now_label, entry.now_probability) == (done.now.label, done.now.probability)
        assert (entry.active, entry.undone_at, entry.forced) == (True, None, False)
        assert entry.made_at.endswith("+00:00")
        assert "0 of 200 sentinel pictures broken" in done.reason

    def test_prediction_spares_the_backbone(self, agent: EdgeAgent, passes: list[int]) -> None:
        seen = agent.predict(PHOTO)
        assert passes == [1]
        done = agent.correct(seen, TRUTH)
        assert passes == [1]
        assert done.now.label == TRUTH
        agent.undo()
        agent.correct(PHOTO, TRUTH, views=0)
        assert passes == [1, 1]
        agent.undo()
        agent.correct(PHOTO, TRUTH)
        assert passes == [1, 1, 1, 1], "the picture, and by default one view of it"

    def test_prediction_and_path_give_the_same_head(self, agent: EdgeAgent) -> None:
        agent.correct(agent.predict(PHOTO), TRUTH)
        first = agent.head.digest()
        agent.undo()
        agent.correct(PHOTO, TRUTH, views=0)
        assert agent.head.digest() == first

    def test_prediction_of_another_artifact_is_refused(self, agent: EdgeAgent, state: Path) -> None:
        with pytest.raises(InputError, match="is of another artifact"):
            agent.correct(replace(agent.predict(PHOTO), artifact="b" * 64), TRUTH)
        assert not state.exists()

    def test_old_prediction_is_judged_by_the_head_of_today(self, agent: EdgeAgent) -> None:
        seen = agent.predict(PHOTO)
        agent.correct(seen, TRUTH)
        assert agent.correct(seen, TRUTH).verdict == "already_correct"

    @pytest.mark.parametrize("engine", ["onnxruntime-training", "portable"])
    def test_either_engine(self, engine: str, state: Path) -> None:
        agent = EdgeAgent.open(ARTIFACT, state, engine=engine)
        assert agent.correct(PHOTO, TRUTH).now.probability >= 0.9
        assert agent.info().engine == engine

    @pytest.mark.parametrize(
        "label, words",
        [
            ("forg", "near ones are frog"),
            ("", "is empty"),
            ("  ", "is empty"),
            (" frog", "begins or ends with a space"),
            ("a\nb", "control character"),
            ("q" * 129, "129 characters"),
        ],
    )
    def test_label_that_cannot_be(self, label: str, words: str, agent: EdgeAgent, state: Path) -> None:
        with pytest.raises(LabelError, match=words):
            agent.correct(PHOTO, label)
        assert not state.exists()

    def test_already_right_is_said_and_not_remembered(self, agent: EdgeAgent, state: Path) -> None:
        seen = agent.predict(PHOTO)
        done = agent.correct(seen, seen.label)
        assert (done.id, done.verdict, done.steps, done.generation) == (None, "already_correct", 0, 0)
        assert done.was == done.now == seen.top[0]
        assert "--force" in done.reason
        assert not state.exists()

    def test_already_right_is_remembered_when_forced(self, agent: EdgeAgent) -> None:
        seen = agent.predict(PHOTO)
        done = agent.correct(seen, seen.label, force=True)
        assert (done.id, done.verdict, done.generation) == (1, "already_correct", 1)
        assert "remembered as evidence" in done.reason
        (entry,) = agent.history()
        assert entry.active
        assert entry.forced
        assert agent.predict(PHOTO).probability >= 0.9

    def test_two_labels_for_one_picture_the_later_stands(self, agent: EdgeAgent) -> None:
        seen = agent.predict(PHOTO)
        agent.correct(seen, TRUTH)
        first = agent.head.digest()
        assert agent.correct(seen, "frog").verdict == "accepted"
        assert agent.predict(PHOTO).label == "frog"
        agent.undo()
        assert agent.predict(PHOTO).label == TRUTH
        assert agent.head.digest() == first

    def test_picture_is_kept(self, agent: EdgeAgent, state: Path) -> None:
        agent.correct(PHOTO, TRUTH)
        assert PHOTO.read_bytes() in b"".join(files_below(state).values()) or kept(state) == [PHOTO.read_bytes()]

    def test_picture_is_not_kept_where_settings_say_so(self, state: Path) -> None:
        EdgeAgent.open(ARTIFACT, state, settings=Settings(keep_pictures=False)).correct(PHOTO, TRUTH)
        assert kept(state) == []


def kept(state: Path) -> list[bytes]:
    import sqlite3

    connection = sqlite3.connect(state / "journal.sqlite3")
    rows = connection.execute("SELECT picture FROM pictures").fetchall()
    connection.close()
    return [picture for (picture,) in rows]


class TestDryRun:
    def test_nothing_is_created(self, agent: EdgeAgent, state: Path) -> None:
        done = agent.correct(PHOTO, TRUTH, dry_run=True)
        assert (done.id, done.verdict, done.generation, done.now.label) == (None, "accepted", 0, TRUTH)
        assert done.reason.startswith("dry run, nothing was changed: ")
        assert not state.exists()
        assert agent.predict(PHOTO).label != TRUTH

    def test_nothing_changes_and_it_says_what_would_happen(self, agent: EdgeAgent, state: Path) -> None:
        agent.correct(PHOTOS[1], TRUTHS[1])
        before, head = files_below(state), agent.head.digest()
        dry = agent.correct(PHOTO, TRUTH, dry_run=True)
        dry_new = agent.correct(PHOTO, "newt", dry_run=True, new_label=True)
        assert (dry_new.verdict, dry_new.now.label) == ("accepted", "newt")
        assert (files_below(state), agent.head.digest(), agent.labels) == (before, head, agent.artifact.labels)
        real = agent.correct(PHOTO, TRUTH)
        assert (dry.was, dry.now, dry.steps, dry.sentinel) == (real.was, real.now, real.steps, real.sentinel)

    def test_with_force_it_says_what_force_would_do(self, strict: EdgeAgent) -> None:
        seen = strict.predict(PHOTO)
        assert "remembered as evidence" in strict.correct(seen, seen.label, dry_run=True, force=True).reason
        poison, label = breaker(strict)
        assert strict.correct(poison, label, dry_run=True).verdict == "refused"
        assert strict.correct(poison, label, dry_run=True, force=True).verdict == "accepted"
        assert not strict.state.exists()


class TestGuard:
    def test_harm_is_refused_and_recorded(self, strict: EdgeAgent) -> None:
        before = strict.head.digest()
        poison, label = breaker(strict)
        done = strict.correct(poison, label)
        assert done.verdict == "refused"
        assert done.now == done.was
        assert done.generation == 0
        assert f"it would break {done.sentinel.broken} of 200 sentinel pictures" in done.reason
        assert done.sentinel.broken > 0
        assert strict.head.digest() == before
        (entry,) = strict.history()
        assert (entry.verdict, entry.active, entry.undone_at) == ("refused", False, None)
        with pytest.raises(InputError, match="correction 1 was refused"):
            strict.undo(1)
        with pytest.raises(InputError, match="nothing to undo"):
            strict.undo()

    def test_refused_one_adds_no_label(self, strict: EdgeAgent) -> None:
        poison, _ = breaker(strict)
        sure = np.where(np.arange(10) == 8, 60, poison.seen.logits).astype(np.float32)  # so a step is needed beyond what a class may claim
        poison = replace(poison, seen=replace(poison.seen, logits=sure))
        done = strict.correct(poison, "newt", new_label=True)
        assert done.verdict == "refused"
        assert done.sentinel.broken > 10
        assert "newt" not in strict.labels

    def test_force_accepts_and_says_so(self, strict: EdgeAgent) -> None:
        before = strict.head.digest()
        poison, label = breaker(strict)
        done = strict.correct(poison, label, force=True)
        assert done.verdict == "accepted"
        assert done.reason.startswith("forced: it would break")
        assert strict.history()[0].forced
        strict.undo(done.id)
        assert strict.head.digest() == before


class TestUndo:
    def test_last_or_any(self, agent: EdgeAgent) -> None:
        digests = [agent.head.digest()]
        for photo, truth in zip(PHOTOS[:3], TRUTHS, strict=False):
            agent.correct(photo, truth)
            digests.append(agent.head.digest())
        undone = agent.undo()
        assert (undone.ids, undone.active, undone.generation) == ((3,), 2, 4)
        assert undone.head_sha256 == agent.head.digest() == digests[2]
        assert agent.undo(1).ids == (1,)
        assert [agent.predict(photo).label == truth for photo, truth in zip(PHOTOS[:3], TRUTHS, strict=False)] == [False, True, False]
        agent.undo()
        assert agent.head.digest() == digests[0]
        assert [entry.active for entry in agent.history()] == [False] * 3
        assert all(entry.undone_at for entry in agent.history())

    def test_what_cannot_be_undone(self, agent: EdgeAgent, state: Path) -> None:
        with pytest.raises(InputError, match="nothing to undo"):
            agent.undo()
        with pytest.raises(InputError, match="correction 1 does not exist"):
            agent.undo(1)
        with pytest.raises(InputError, match="nothing to reset"):
            agent.reset()
        assert not state.exists()
        agent.correct(PHOTO, TRUTH)
        agent.undo(1)
        before = files_below(state)
        with pytest.raises(InputError, match="correction 1 was undone before"):
            agent.undo(1)
        for number in (0, -1, 2):
            with pytest.raises(InputError, match="does not exist"):
                agent.undo(number)
        assert files_below(state) == before

    def test_reset(self, agent: EdgeAgent) -> None:
        start = agent.head.digest()
        for photo, truth in zip(PHOTOS[:4], TRUTHS, strict=False):
            agent.correct(photo, truth)
        agent.undo(2)
        done = agent.reset()
        assert (done.ids, done.active) == ((1, 3, 4), 0)
        assert agent.head.digest() == start
        assert len(agent.history()) == 4

    def test_restart_keeps_everything(self, agent: EdgeAgent, state: Path) -> None:
        agent.correct(PHOTO, TRUTH)
        agent.correct(PHOTOS[1], TRUTHS[1])
        agent.undo(1)
        again = EdgeAgent.open(ARTIFACT, state)
        assert again.head.digest() == agent.head.digest()
        assert again.history() == agent.history()
        assert again.predict(PHOTOS[1]).top == agent.predict(PHOTOS[1]).top
        assert again.undo().ids == (2,)
        assert agent.predict(PHOTOS[1]).label != TRUTHS[1], "the first agent sees what the second one did"


class TestLabels:
    def test_added_label_wins_nothing_until_it_is_taught(self, agent: EdgeAgent) -> None:
        before = [agent.predict(photo).label for photo in PHOTOS]
        assert agent.add_label("newt") == agent.spare_classes == 15
        assert agent.labels == (*agent.artifact.labels, "newt")
        assert [agent.predict(photo).label for photo in PHOTOS] == before
        assert agent.predict(PHOTO, top=99).top[-1].probability == 0

    def test_label_is_added_by_a_correction(self, agent: EdgeAgent) -> None:
        with pytest.raises(LabelError, match="--new-label"):
            agent.correct(PHOTO, "newt")
        done = agent.correct(PHOTO, "newt", new_label=True)
        assert (done.verdict, done.now.label) == ("accepted", "newt")
        assert agent.predict(PHOTO).label == "newt"
        assert agent.correct(PHOTOS[1], "newt", new_label=True).verdict != "refused", "it may be there already"
        assert agent.labels[10:] == ("newt",)
        agent.reset()
        assert agent.labels[10:] == ("newt",), "labels stay"
        assert agent.predict(PHOTO).label != "newt"

    def test_restart_keeps_labels_and_their_head(self, agent: EdgeAgent, state: Path) -> None:
        agent.correct(PHOTO, "newt", new_label=True)
        agent.add_label("axolotl")
        again = EdgeAgent.open(ARTIFACT, state)
        assert again.labels == agent.labels
        assert again.head.digest() == agent.head.digest()
        assert again.predict(PHOTO).label == "newt"

    def test_spare_classes_end(self, agent: EdgeAgent) -> None:
        for number in range(16):
            assert agent.add_label(f"class {number}") == 15 - number
        with pytest.raises(LabelError, match="all spare classes of the artifact are used"):
            agent.add_label("one more")
        with pytest.raises(LabelError, match="all spare classes"):
            agent.correct(PHOTO, "one more", new_label=True)
        assert agent.correct(PHOTO, "class 15").verdict == "accepted"

    @pytest.mark.parametrize("name, words", [("frog", "exists already"), ("", "is empty"), ("a\x1b[31m", "control character")])
    def test_name_that_cannot_be(self, name: str, words: str, agent: EdgeAgent, state: Path) -> None:
        with pytest.raises(LabelError, match=words):
            agent.add_label(name)
        assert not state.exists()


class TestSharing:
    def test_agents_on_one_state_see_each_other(self, agent: EdgeAgent, state: Path) -> None:
        other = EdgeAgent.open(ARTIFACT, state)
        agent.correct(PHOTO, TRUTH)
        assert other.predict(PHOTO).label == TRUTH
        other.correct(PHOTOS[1], TRUTHS[1])
        assert agent.predict(PHOTOS[1]).label == TRUTHS[1]
        assert agent.head.digest() == other.head.digest()
        other.add_label("newt")
        assert agent.labels[-1] == "newt"
        agent.undo(2)
        assert other.predict(PHOTOS[1]).label != TRUTHS[1]
        assert [entry.id for entry in other.history()] == [1, 2]

    def test_closed_agent_sees_what_came_meanwhile(self, agent: EdgeAgent, state: Path) -> None:
        other = EdgeAgent.open(ARTIFACT, state)
        for number in range(4):
            agent.correct(PHOTOS[2 * number], TRUTHS[2 * number])
            agent.close()
            other.correct(PHOTOS[2 * number + 1], TRUTHS[2 * number + 1])
            assert agent.predict(PHOTOS[2 * number + 1]).generation == 2 * number + 2
            other.close()
        assert agent.head.digest() == other.head.digest()

    def test_correction_in_another_process(self, agent: EdgeAgent, state: Path) -> None:
        agent.correct(PHOTO, TRUTH)
        code = """
import sys
from edge_agent import EdgeAgent
agent = EdgeAgent.open(sys.argv[1], sys.argv[2])
print(agent.correct(sys.argv[3], sys.argv[4]).id, agent.head.digest())
"""
        number, digest = in_fresh_process(code, str(ARTIFACT), str(state), str(PHOTOS[1]), TRUTHS[1]).split()
        assert number == "2"
        assert agent.predict(PHOTOS[1]).label == TRUTHS[1]
        assert agent.head.digest() == digest

    def test_two_at_once_take_back_two_corrections(self, agent: EdgeAgent, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """`undo` without a number means the last one that is active when its turn comes, not when it was asked."""
        for place in range(3):
            agent.correct(PHOTOS[place], TRUTHS[place])
        other, writing = EdgeAgent.open(ARTIFACT, state), agent._journal.writing

        def after_the_other() -> AbstractContextManager[Writer]:
            monkeypatch.undo()
            assert other.undo().ids == (3,)
            return writing()

        monkeypatch.setattr(agent._journal, "writing", after_the_other)
        assert agent.undo().ids == (2,)
        assert [entry.id for entry in agent.history() if entry.active] == [1]

    def test_busy_state_is_an_error_and_predictions_go_on(self, agent: EdgeAgent, state: Path) -> None:
        agent.correct(PHOTO, TRUTH)
        impatient = EdgeAgent.open(ARTIFACT, state, settings=Settings(wait_ms=10))
        before = impatient.head.digest()
        with agent._journal.writing(), pytest.raises(StateBusyError, match="in use by this process"):
            impatient.correct(PHOTOS[1], TRUTHS[1])
        assert impatient.predict(PHOTO).label == TRUTH
        assert impatient.head.digest() == before
        assert impatient.correct(PHOTOS[1], TRUTHS[1]).id == 2

    def test_threads_and_a_second_agent(self, agent: EdgeAgent, state: Path, seen: tuple[Prediction, ...]) -> None:
        other, faults, done = EdgeAgent.open(ARTIFACT, state), [], threading.Event()

        def guarded(work: object) -> threading.Thread:
            def run() -> None:
                try:
                    work()  # type: ignore[operator]
                except BaseException as error:
                    faults.append(error)

            return threading.Thread(target=run)

        def look() -> None:
            while not done.is_set():
                prediction = agent.predict(PHOTO, top=99)
                assert sum(r.probability for r in prediction.top) == pytest.approx(1, abs=1e-5)

        def teach(one: EdgeAgent, places: range) -> None:
            for place in places:
                one.correct(seen[place], TRUTHS[place])
                one.undo(one.correct(seen[place], "frog", force=True).id)

        watchers = [guarded(look) for _ in range(2)]
        shares = ((agent, range(0, 4)), (agent, range(4, 8)), (other, range(8, 12)))
        teachers = [guarded(partial(teach, one, places)) for one, places in shares]
        for thread in watchers + teachers:
            thread.start()
        for thread in teachers:
            thread.join(60)
        done.set()
        for thread in watchers:
            thread.join(60)
        assert not any(thread.is_alive() for thread in watchers + teachers), "they wait for each other"
        assert not faults
        assert [entry.id for entry in agent.history()] == list(range(1, 25))
        assert sum(entry.active for entry in agent.history()) == 12
        assert [agent.predict(photo).label for photo in PHOTOS] == list(TRUTHS)
        fresh = EdgeAgent.open(ARTIFACT, state)
        assert fresh.head.digest() == agent.head.digest() == other.head.digest()


class TestDamage:
    def test_damaged_generation_is_rebuilt(self, agent: EdgeAgent, state: Path) -> None:
        agent.correct(PHOTO, TRUTH)
        agent.correct(PHOTOS[1], TRUTHS[1])
        agent.close()
        change(state, "UPDATE generations SET head=zeroblob(9)")
        again = EdgeAgent.open(ARTIFACT, state)
        assert again.head.digest() == agent_digest(agent, state)
        assert again.predict(PHOTO).label == TRUTH
        assert again.correct(PHOTOS[2], TRUTHS[2]).generation == 3

    def test_damaged_correction_is_named_and_can_be_taken_back(self, agent: EdgeAgent, state: Path) -> None:
        for photo, truth in zip(PHOTOS[:2], TRUTHS, strict=False):
            agent.correct(photo, truth)
        agent.close()
        change(state, "UPDATE corrections SET seen=zeroblob(9) WHERE id=1")
        again = EdgeAgent.open(ARTIFACT, state)
        assert len(again.history()) == 2
        assert again.predict(PHOTOS[1]).label == TRUTHS[1], "predictions go on with what is sound"
        with pytest.raises(StateError, match=r"correction 1 is damaged.*edge-agent undo 1"):
            again.correct(PHOTOS[2], TRUTHS[2])
        assert again.undo(1).active == 1
        assert again.predict(PHOTOS[1]).label == TRUTHS[1]
        assert again.correct(PHOTO, TRUTH).id == 3

    def test_failed_commit_leaves_the_head_as_it_was(self, agent: EdgeAgent, monkeypatch: pytest.MonkeyPatch) -> None:
        agent.correct(PHOTO, TRUTH)
        before, history = agent.head.digest(), agent.history()
        from edge_agent.journal import Writer

        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        for name, act in (
            ("add_correction", lambda: agent.correct(PHOTOS[1], TRUTHS[1])),
            ("add_generation", lambda: agent.correct(PHOTOS[1], TRUTHS[1])),
            ("add_generation", lambda: agent.undo()),
            ("add_generation", lambda: agent.add_label("newt")),
        ):
            with monkeypatch.context() as patch:
                patch.setattr(Writer, name, fail)
                with pytest.raises(StateError, match="No space left on device"):
                    act()
            assert (agent.head.digest(), agent.history(), agent.labels) == (before, history, agent.artifact.labels)
            assert agent.predict(PHOTO).label == TRUTH
        assert agent.correct(PHOTOS[1], TRUTHS[1]).id == 2


def change(state: Path, statement: str) -> None:
    import sqlite3

    connection = sqlite3.connect(state / "journal.sqlite3")
    with connection:
        connection.execute(statement)
    connection.close()


def agent_digest(agent: EdgeAgent, state: Path) -> str:
    """What a fold over the same corrections gives in another state."""
    other = EdgeAgent.open(ARTIFACT, state.with_name("other"))
    for entry in agent.history():
        other.correct(PHOTOS[entry.id - 1], entry.label)
    return other.head.digest()


def test_info_says_what_runs(agent: EdgeAgent) -> None:
    agent.correct(PHOTO, TRUTH)
    agent.add_label("newt")
    info = agent.info()
    assert (info.artifact, info.artifact_sha256, info.model) == (str(ARTIFACT), agent.artifact.digest, "mobilenet_v3_small")
    assert (info.labels, info.spare_classes, info.corrections, info.generation) == (11, 15, 1, 2)
    assert info.provider == "CPUExecutionProvider"
    assert info.engine in ("onnxruntime-training", "portable")
    assert info.head_sha256 == agent.head.digest()
    assert info.factory_accuracy == pytest.approx(agent.artifact.manifest.sentinel.accuracy)
    assert 0.5 < info.sentinel_accuracy <= 1
