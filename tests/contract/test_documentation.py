"""What is promised of the source itself: documented, with its errors, and without what hides a caller's mistake."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import edge_agent
from edge_agent import errors
from edge_agent.errors import EdgeAgentError

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "edge_agent").rglob("*.py"), *(ROOT / "export").rglob("*.py")])
ERRORS = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, EdgeAgentError)}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def public(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.ClassDef | Function]]:
    """The public classes, functions and methods below a node, with their dotted names."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            if child.name.startswith("_"):
                continue
            yield prefix + child.name, child
            if isinstance(child, ast.ClassDef):
                yield from public(child, f"{prefix}{child.name}.")
        elif isinstance(child, (ast.If, ast.Try, ast.With)):
            yield from public(child, prefix)


def raised(function: Function) -> set[str]:
    """Our errors that the body itself raises; not those of functions inside it."""
    found: set[str] = set()
    nodes: list[ast.AST] = list(function.body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Raise) and node.exc is not None:
            kind = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            name = kind.attr if isinstance(kind, ast.Attribute) else kind.id if isinstance(kind, ast.Name) else ""
            found |= {name} & set(ERRORS)
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            nodes.extend(ast.iter_child_nodes(node))
    return found


def raises_section(docstring: str) -> str:
    found = re.search(r"^Raises:\n((?:[ \t]+.*\n?|\n)*)", docstring, re.MULTILINE)
    return found.group(1) if found else ""


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_every_public_name_is_documented(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    bare = [name for name, node in public(tree) if not (ast.get_docstring(node) or "").strip()]
    assert (ast.get_docstring(tree) or "").strip(), f"{shown(path)} does not say what it is"
    assert not bare, f"{shown(path)}: no docstring: {', '.join(bare)}"


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_every_error_that_is_raised_is_documented(path: Path) -> None:
    for name, node in public(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ClassDef):
            continue
        section = raises_section(ast.get_docstring(node) or "")
        missing = {kind for kind in raised(node) if not any(known.__name__ in section for known in ERRORS[kind].__mro__)}
        assert not missing, f"{shown(path)}: {name} raises {', '.join(sorted(missing))} and has no line on it under Raises"


def test_tree_of_errors_is_drawn_as_it_is() -> None:
    drawn = re.findall(r"^    ([ │├└─]*)(\w+) +(\d+)? +\S", errors.__doc__ or "", re.MULTILINE)
    parents: list[str] = []
    for branch, name, code in drawn:
        depth = len(branch) // 4
        assert name in ERRORS, f"the tree draws {name}, which is not there"
        assert not depth or ERRORS[name].__base__ is ERRORS[parents[depth - 1]]
        assert not depth or ERRORS[name].exit_code == int(code)
        parents[depth:] = [name]
    assert {name for _, name, _ in drawn} == set(ERRORS)


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_has_an_exit_code_and_a_line(name: str) -> None:
    assert 64 <= ERRORS[name].exit_code <= 78, "sysexits.h"
    assert vars(ERRORS[name]).get("__doc__")


def test_package_exports_what_it_says() -> None:
    tree = ast.parse((ROOT / "edge_agent" / "__init__.py").read_text("utf-8"))
    typed = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert set(edge_agent.__all__) == typed - {"annotations", "TYPE_CHECKING", "Any"}
    assert len(set(edge_agent.__all__)) == len(edge_agent.__all__)
    assert set(ERRORS) <= set(edge_agent.__all__)
    assert dir(edge_agent) == sorted([*edge_agent.__all__, "__version__"])
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = edge_agent.nonsense
    for name in edge_agent.__all__:
        if name in ERRORS:
            assert getattr(edge_agent, name) is ERRORS[name]
        elif (ROOT / "edge_agent" / "agent.py").is_file():
            assert inspect.isclass(getattr(edge_agent, name))


@pytest.mark.parametrize("path", [p for p in SOURCES if p != ROOT / "edge_agent" / "__init__.py"], ids=shown)
def test_all_equals_reality(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    values = [n.value for n in tree.body if isinstance(n, ast.Assign) and [ast.unparse(t) for t in n.targets] == ["__all__"]]
    if not values:
        return
    listed = ast.literal_eval(values[0])
    defined = {name for name, _ in public(tree) if "." not in name}
    assert len(set(listed)) == len(listed)
    assert defined <= set(listed), f"{shown(path)}: __all__ lacks {sorted(defined - set(listed))}"
    if path.is_relative_to(ROOT / "edge_agent"):
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
        assert all(hasattr(module, name) for name in listed)


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_nothing_hides_a_mistake(path: Path) -> None:
    assert not {part.removesuffix(".py") for part in path.relative_to(ROOT).parts} & {
        "util",
        "utils",
        "helper",
        "helpers",
        "common",
        "misc",
    }
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        where = f"{shown(path)}:{getattr(node, 'lineno', 0)}"
        assert not isinstance(node, ast.Assert), f"{where}: an assert is gone under -O; raise one of our errors"
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            assert node.args.kwarg is None, f"{where}: **{node.args.kwarg.arg} swallows a misspelt argument"
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), f"{where}: a bare except also catches Ctrl-C"
