from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import UsageError
from edge_agent.image import ImageLimits
from edge_agent.settings import Settings, default_state

FIELDS = {field.name: field for field in dataclasses.fields(Settings)}
NUMBERS = [name for name, field in FIELDS.items() if type(field.default) in (int, float)]
VALUES = {  # two that differ from the default, for every setting
    "provider": ("CPUExecutionProvider", "CUDAExecutionProvider"),
    "engine": ("portable", "onnxruntime-training"),
    "threads": (1, 4),
    "max_file_bytes": (1000, 2000),
    "max_pixels": (1000, 2000),
    "views": (0, 3),
    "confidence": (0.6, 0.7),
    "rounds": (7, 8),
    "exponent_low": (1.5, 3.0),
    "exponent_high": (5.0, 6.0),
    "leak_budget": (0.1, 0.2),
    "same_picture": (0.9, 0.95),
    "capacity": (1, 2),
    "guard_drop": (0.1, 0.2),
    "guard_total": (0.1, 0.2),
    "wait_ms": (1, 2),
    "keep_pictures": (False, True),
    "kept_pictures": (1, 2),
    "kept_pictures_bytes": (1, 2),
    "kept_generations": (1, 2),
    "kept_unused": (5, 0),
    "collect": (True, False),
    "queue_pictures": (1, 2),
    "queue_bytes": (1, 2),
    "queue_worth": (0.3, 0.4),
    "queue_alike": (0.9, 0.99),
    "queue_repeat": (0.9, 0.99),
    "trusted_key": ("one.pub", "two.pub"),
    "trial_timeout_s": (30, 60),
    "trial_memory_bytes": (2**29, 2**30),
}


def in_toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def refused(file: Path | None = None, environment: dict[str, str] | None = None, flags: dict[str, object] | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        Settings.load(file, environment or {}, flags or {})
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    return str(caught.value)


def test_nothing_given_gives_the_defaults() -> None:
    assert Settings.load(None, {}, {}) == Settings()
    assert Settings.load(None, {"PATH": "/bin", "EDGE_AGENT_STATE": "state"}, {"threads": None}) == Settings()


def test_every_setting_is_documented_and_tested() -> None:
    text = inspect.getdoc(Settings) or ""
    assert all(name in text for name in FIELDS)
    assert set(VALUES) == set(FIELDS)


@pytest.mark.parametrize("name", FIELDS)
def test_flag_over_environment_over_file_over_default(name: str, tmp_path: Path) -> None:
    first, second = VALUES[name]
    file = tmp_path / "settings.toml"
    file.write_text(f"{name} = {in_toml(first)}\n")
    environment = {f"EDGE_AGENT_{name.upper()}": str(second)}
    for settings, expected in (
        (Settings.load(file, {}, {}), first),
        (Settings.load(None, {"EDGE_AGENT_SETTINGS": str(file)}, {}), first),
        (Settings.load(file, environment, {}), second),
        (Settings.load(file, environment, {name: None}), second),
        (Settings.load(file, environment, {name: first}), first),
        (Settings.load(None, environment, {}), second),
    ):
        assert getattr(settings, name) == expected
        assert type(getattr(settings, name)) is type(FIELDS[name].default)
        assert dataclasses.replace(settings, **{name: FIELDS[name].default}) == Settings()


def test_file_that_is_given_comes_before_the_one_in_the_environment(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("threads = 1")
    assert Settings.load(tmp_path / "a.toml", {"EDGE_AGENT_SETTINGS": "missing.toml"}, {}).threads == 1


@given(st.sets(st.sampled_from(sorted(FIELDS))), st.sets(st.sampled_from(sorted(FIELDS))))
def test_settings_of_several_sources_are_merged(from_environment: set[str], from_flags: set[str]) -> None:
    environment = {f"EDGE_AGENT_{name.upper()}": str(VALUES[name][0]) for name in from_environment}
    settings = Settings.load(None, environment, {name: VALUES[name][1] for name in from_flags})
    for name in FIELDS:
        expected = VALUES[name][1] if name in from_flags else VALUES[name][0] if name in from_environment else FIELDS[name].default
        assert getattr(settings, name) == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("true", True), ("TRUE", True), ("Yes", True), ("0", False), ("false", False), ("no", False)],
)
def test_truth_in_the_environment(text: str, value: bool) -> None:
    assert Settings.load(None, {"EDGE_AGENT_KEEP_PICTURES": text}, {}).keep_pictures is value


def test_blank_variable_is_as_if_it_were_not_there() -> None:
    assert Settings.load(None, {f"EDGE_AGENT_{name.upper()}": "" for name in [*FIELDS, "settings"]}, {}) == Settings()


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [-1, float("inf"), float("nan"), 10**400, "many", "", True, [1], "9" * 5000], ids=lambda v: str(v)[:9])
def test_number_that_is_none_of_ours_is_refused_by_name(name: str, value: object) -> None:
    assert name in refused(flags={name: value})
    if isinstance(value, str) and value:
        assert name in refused(environment={f"EDGE_AGENT_{name.upper()}": value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threads", 2.7),
        ("threads", "2.7"),
        ("threads", 1025),
        ("max_file_bytes", 0),
        ("max_pixels", 0),
        ("max_pixels", 178_956_971),
        ("confidence", 0.49),
        ("confidence", 1.0),
        ("rounds", 0),
        ("exponent_low", 0.5),
        ("exponent_low", 4.5),  # above exponent_high
        ("exponent_high", 1.5),  # below exponent_low
        ("exponent_high", 8.5),
        ("same_picture", 1.01),
        ("guard_drop", 1.01),
        ("guard_total", 1.01),
        ("kept_generations", 0),
        ("kept_unused", -1),
        ("keep_pictures", "maybe"),
        ("keep_pictures", 1),
        ("provider", 3),
        ("engine", True),
    ],
)
def test_value_out_of_its_range_is_refused_by_name(name: str, value: object) -> None:
    message = refused(flags={name: value})
    assert name in message or "exponent_" in name


def test_whole_real_is_a_whole_number() -> None:
    settings = Settings.load(None, {"EDGE_AGENT_CONFIDENCE": "0.75"}, {"threads": 2.0, "exponent_low": 2})
    assert (settings.threads, settings.exponent_low, settings.confidence) == (2, 2.0, 0.75)
    assert type(settings.threads) is int


@pytest.mark.parametrize("name", NUMBERS)
def test_range_is_held_where_the_class_is_called_too(name: str) -> None:
    values: dict[str, Any] = {name: -1}
    with pytest.raises(UsageError, match=r"expected [0-9.]+ to [0-9.]+;"):
        Settings(**values)


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().threads = 1  # type: ignore[misc]


@pytest.mark.parametrize("name", ["thread", "THREADS", "settings", "state", ""])
def test_unknown_setting_is_refused_with_the_known_ones(name: str, tmp_path: Path) -> None:
    message = refused(flags={name: 1})
    assert repr(name) in message
    assert "kept_generations" in message
    (tmp_path / "s.toml").write_text(f'"{name}" = 1')
    assert repr(name) in refused(tmp_path / "s.toml")


@pytest.mark.parametrize(
    "content",
    [b"threads", b"threads = ", b"threads = 1\nthreads = 2", b"\xff", b"threads = [1", b"a = " + b"[" * 5000, b"\0"],
    ids=lambda content: repr(content[:20]),
)
def test_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.toml").write_bytes(content)
    assert "broken.toml" in refused(tmp_path / "broken.toml")


@pytest.mark.parametrize(
    "content", ["threads = inf", "threads = nan", "threads = [1]", "threads = 2024-01-01", "[threads]\na = 1", "[a]\nthreads = 1"]
)
def test_value_in_a_file_that_is_none_of_ours_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "s.toml").write_text(content)
    refused(tmp_path / "s.toml")


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "missing.toml" in refused(tmp_path / "missing.toml")
    assert str(tmp_path) in refused(tmp_path)
    assert "missing.toml" in refused(environment={"EDGE_AGENT_SETTINGS": "missing.toml"})


def test_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text("# nothing\n")
    assert Settings.load(tmp_path / "s.toml", {}, {}) == Settings()


def test_limits_of_pictures() -> None:
    assert Settings(max_file_bytes=10, max_pixels=20).image_limits == ImageLimits(10, 20)
    assert Settings().image_limits == ImageLimits()


# Where the state lies when nobody says


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"EDGE_AGENT_STATE": "/a", "STATE_DIRECTORY": "/b", "XDG_STATE_HOME": "/c"}, "/a"),
        ({"EDGE_AGENT_STATE": "", "STATE_DIRECTORY": "/b", "XDG_STATE_HOME": "/c"}, "/b"),
        ({"STATE_DIRECTORY": "/b:/d"}, "/b"),
        ({"STATE_DIRECTORY": "", "XDG_STATE_HOME": "/c"}, "/c/edge-agent/0123456789ab"),
    ],
    ids=str,
)
def test_state_directory_comes_from_the_environment(environment: dict[str, str], expected: str) -> None:
    assert default_state(environment, "0123456789abcdef") == Path(expected)


def test_state_directory_is_at_home_where_nothing_is_set() -> None:
    for environment in ({}, {"XDG_STATE_HOME": ""}):
        assert default_state(environment, "0123456789abcdef") == Path.home() / ".local/state/edge-agent/0123456789ab"


def test_user_without_a_home_must_name_a_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    assert default_state({"XDG_STATE_HOME": "/c"}, "0" * 64).parent == Path("/c/edge-agent")
    with pytest.raises(UsageError, match="--state"):
        default_state({}, "0" * 64)
