"""What people read: whole lines, nothing invented, nothing of a name taken for markup."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from on_device import PHOTOS, TRUTHS, an_entry

from edge_agent.agent import EdgeAgent
from edge_agent.journal import Entry
from edge_agent.printing import show_correction, show_history, show_prediction, show_undo
from edge_agent.recorded import Recorded
from edge_agent.results import Prediction, Ranked, Undo

Printed = Callable[..., str]
pytestmark = pytest.mark.usefixtures("shared_backbone")


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Printed:
    """`printed(show, what, width=80)`: what a pipe gets."""

    def show(function: Callable[..., None], what: object, width: int = 80) -> str:
        monkeypatch.setenv("COLUMNS", str(width))
        capsys.readouterr()
        function(what)
        out, err = capsys.readouterr()
        assert err == ""
        assert "\x1b" not in out, "a pipe gets no colours"
        return out

    return show


class TestPrediction:
    def test_one_line(self, seen: tuple[Prediction, ...], printed: Printed) -> None:
        for prediction in seen:
            line = printed(show_prediction, prediction, width=20)
            assert line.count("\n") == 1, "however narrow the terminal"
            assert line.startswith(f"{prediction.image}  {prediction.label} {prediction.probability:.1%}  ")

    def test_improbable_ones_are_left_out(self, seen: tuple[Prediction, ...], printed: Printed) -> None:
        ranked = (Ranked("frog", 0.99), Ranked("cat", 0.006), Ranked("dog", 0.004))
        assert printed(show_prediction, replace(seen[0], image="a.jpg", top=ranked)) == "a.jpg  frog 99.0%  cat 0.6%\n"

    @pytest.mark.parametrize("name", ["[bold]a[/bold].jpg", "a[/].jpg", ":frog:.jpg", "a\\[b].jpg", "[red]", "Möwe 🐸.jpg"])
    def test_names_are_no_markup(self, name: str, seen: tuple[Prediction, ...], printed: Printed) -> None:
        ranked = (Ranked(name, 0.9), Ranked("frog", 0.1))
        assert printed(show_prediction, replace(seen[0], image=name, top=ranked)) == f"{name}  {name} 90.0%  frog 10.0%\n"

    def test_picture_without_a_name(self, seen: tuple[Prediction, ...], printed: Printed) -> None:
        assert printed(show_prediction, replace(seen[0], image=None)).startswith("-  ")


class TestCorrection:
    def test_accepted(self, agent: EdgeAgent, printed: Printed) -> None:
        done = agent.correct(PHOTOS[0], TRUTHS[0])
        lines = printed(show_correction, done).splitlines()
        assert lines[0] == f"#1 accepted  {done.was.label} {done.was.probability:.1%} → {TRUTHS[0]} {done.now.probability:.1%}"
        assert lines[1] == done.reason
        assert lines[2].startswith("sentinel of 200: 83.5% → ")
        assert "(a change below 0.5% cannot be seen)" in lines[2]
        assert lines[3] == "take it back with: edge-agent undo 1"

    def test_nothing_to_take_back(self, agent: EdgeAgent, printed: Printed) -> None:
        done = agent.correct(PHOTOS[0], TRUTHS[0])
        for changed in (replace(done, verdict="refused"), replace(done, id=None), replace(done, id=None, verdict="already_correct")):
            text = printed(show_correction, changed)
            assert "take it back" not in text
            assert changed.verdict.replace("_", " ") in text

    def test_undo(self, printed: Printed) -> None:
        text = printed(show_undo, Undo((3, 4), 7, 2, "ab" * 32))
        assert text == "took back #3, #4; 2 corrections remain; head 7 is abababababababab\n"


def told(entry: Entry, standing: str = "acting", together_with: tuple[int, ...] = ()) -> Recorded:
    return Recorded(**vars(entry), standing=standing, together_with=together_with)


class TestHistory:
    def test_nothing_yet(self, printed: Printed) -> None:
        assert printed(show_history, ()) == "no corrections yet\n"

    @pytest.mark.parametrize("width", [80, 100, 200])
    def test_times_and_verdicts_are_not_wrapped(self, width: int, printed: Printed) -> None:
        entries = [replace(told(an_entry(n)), image=f"a/long/way/to/the/folder/of/photo-{n}.jpg", forced=n == 2) for n in range(1, 4)]
        text = printed(show_history, entries, width)
        assert text.count("2026-01-01T00:00:00") == 3
        assert "accepted (forced)" in text
        assert max(map(len, text.splitlines())) <= width
        assert text.splitlines()[0].split() == ["id", "time", "picture", "was", "label", "verdict", "sentinel"]

    def test_state_of_each(self, printed: Printed) -> None:
        entries = [told(an_entry(1)), told(an_entry(2), "undone"), told(an_entry(3, active=False), "refused")]
        lines = printed(show_history, entries, 200).splitlines()[1:]
        assert [line.split()[0] for line in lines] == ["1", "2", "3"]
        assert lines[0].rstrip().endswith("83.5% → 84.0%")
        assert lines[1].rstrip().endswith("undone")
        assert lines[2].rstrip().endswith("not learned")
        assert "refused" in lines[2]

    def test_rows_that_are_shared(self, printed: Printed) -> None:
        entries = [told(an_entry(1), "merged", (2, 5)), told(an_entry(2), "forgotten"), told(an_entry(3), "superseded")]
        ends = [line.rstrip().split("84.0%")[1].strip() for line in printed(show_history, entries, 200).splitlines()[1:]]
        assert ends == ["merged with #2, #5", "forgotten", "superseded"]

    def test_names_are_no_markup(self, printed: Printed) -> None:
        text = printed(show_history, [replace(told(an_entry(1)), image="[bold].jpg", label=":cat:", was_label="[/]")], 200)
        for name in ("[bold].jpg", ":cat:", "[/]"):
            assert name in text
