from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
import torch

from edge_agent.errors import EdgeAgentError, InputError, UsageError
from export import factories, source
from export.source import Overrides

NETWORKS = """
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self, num_classes=3):
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
            self.second = nn.Sequential(nn.Conv2d(8, 12, 3, 2, 1), nn.ReLU())
            self.last = nn.Linear(12, num_classes)

        def forward(self, x):
            return self.last(self.second(self.stem(x)).mean((2, 3)))

    def make():
        return Net(5)

    def made_of(num_classes: int, width: int = 8):
        return Net(num_classes)

    def needy(width, depth, num_classes=2):
        return Net()

    def failing():
        return Net()["stem"]

    def wrong():
        return {"state_dict": 1}

    class Space:
        make = staticmethod(make)

    answer = 42
"""


@pytest.fixture(autouse=True)
def networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package in the current directory, of a name of its own in each test."""
    name = f"pkg_{tmp_path.name}".replace("-", "_")
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    (tmp_path / name / "nets.py").write_text(textwrap.dedent(NETWORKS))
    (tmp_path / name / "hurt.py").write_text("import no_such_package_anywhere\n")
    (tmp_path / name / "typo.py").write_text("def make(:\n")
    monkeypatch.chdir(tmp_path)
    return name


def test_function_class_and_attribute(networks: str) -> None:
    for name, classes in (("make", 5), ("Net", 7), ("made_of", 7), ("Space.make", 5)):
        module = factories.make(f"{networks}.nets:{name}", 7)
        assert module.last.out_features == classes and not module.training


def test_who_can_be_told_the_classes(networks: str) -> None:
    assert factories.takes_classes(f"{networks}.nets:Net") and factories.takes_classes(f"{networks}.nets:made_of")
    assert not factories.takes_classes(f"{networks}.nets:make")
    assert factories.is_factory("a:b") and not factories.is_factory("resnet18")


@pytest.mark.parametrize(
    ("name", "kind", "found"),
    [
        ("{}.nets:", UsageError, "is not of the form package.module:factory"),
        (":make", UsageError, "is not of the form"),
        ("{}/nets:make", UsageError, "is not of the form"),
        ("{}.nets:mak", UsageError, "has no 'mak'; hint: nearest names: make"),
        ("{}.nets:answer", UsageError, "is a int, expected a function or class"),
        ("{}.nets:needy", UsageError, "needs the arguments width, depth, expected none but num_classes"),
        ("{}.netz:make", InputError, "there is no module '{}.netz'; hint: is it installed"),
        ("{}.hurt:make", InputError, "hurt cannot be imported: ModuleNotFoundError: .*no_such_package_anywhere' at hurt.py, line 1"),
        ("{}.typo:make", InputError, "typo cannot be imported: SyntaxError"),
        ("{}.nets:failing", InputError, "failed with TypeError: .* at nets.py, line 25"),
        ("{}.nets:wrong", InputError, "returned dict, expected a torch.nn.Module"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(name: str, kind: type[EdgeAgentError], found: str, networks: str) -> None:
    with pytest.raises(kind, match=found.format(networks)) as caught:
        source.check_name(name.format(networks))
        factories.make(name.format(networks), 3)
    assert caught.value.hint and "\n" not in str(caught.value)


class TestSource:
    def test_classes_of_a_factory_that_decides_itself(self, networks: str) -> None:
        given = source.read_weights(f"{networks}.nets:make", "none")
        assert given.classes == 5 and given.state is None
        assert source.read_weights(f"{networks}.nets:Net", "none").classes is None

    def test_weights_of_a_file(self, networks: str, tmp_path: Path) -> None:
        name = f"{networks}.nets:Net"
        trained = factories.make(name, 6)
        torch.save(trained.state_dict(), tmp_path / "w.pth")
        given = source.read_weights(name, str(tmp_path / "w.pth"))
        spec = source.image_spec(name, None, Overrides(input_size_px=32))
        network = source.build(name, given, 4, spec, 0)
        assert given.classes == 6 and torch.equal(network.module.last.weight, trained.last.weight) and not network.random

    def test_what_a_factory_makes_follows_the_seed(self, networks: str) -> None:
        name = f"{networks}.nets:Net"
        spec = source.image_spec(name, None, Overrides())
        given = source.read_weights(name, "none")
        one, same, other = (source.build(name, given, 4, spec, seed).module.last.weight for seed in (1, 1, 2))
        assert torch.equal(one, same) and not torch.equal(one, other) and one.shape[0] == 4
        assert spec.crop_px == (224, 224)

    def test_weights_of_torchvision_are_not_for_factories(self, networks: str) -> None:
        with pytest.raises(UsageError, match="--weights default is for torchvision's networks"):
            source.read_weights(f"{networks}.nets:Net", "default")
