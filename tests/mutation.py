"""Does a test notice when a line of a module is wrong? Each mutant changes one thing; what no test notices survives, and is listed.

    python tests/mutation.py edge_agent/journal.py --tests tests/test_journal.py … [--then tests/…] [--report docs/mutation.json]

mutmut and cosmic-ray do not take a statement away, and a removed fsync, check or digest is just that; and they start Python anew
for each mutant. Here a process that has loaded the libraries forks, the child loads the mutated module in the place of the real one and
runs the tests up to the first failure. `--then` names slower tests, which see only what survived the first ones.

Mutants: a statement taken away (calls, raises, assignments to attributes), a return of nothing; a condition always true or always false;
a comparison, `and`, `or` or `not` turned; a number one greater; True for False; the words of a PRAGMA, a BEGIN or a COMMIT taken away.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import importlib.abc
import importlib.machinery
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
WORDS = ("PRAGMA", "BEGIN", "COMMIT", "ROLLBACK", "DELETE", "UPDATE", "VACUUM")
START, END = "<!-- mutation -->", "<!-- /mutation -->"
PRELOADED = ("numpy", "hypothesis", "PIL.Image", "safetensors.numpy", "onnxruntime", "pytest", "click", "rich.console", "sqlite3")


class Mutant:
    """A changed tree, and what was changed in words."""

    def __init__(self, tree: ast.Module, line: int, what: str) -> None:
        self.tree, self.line, self.what = tree, line, what


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant of a module, in the order of its lines."""
    original = ast.parse(source)
    places = [(path, node) for path, node in _walk(original, ())]
    found = []
    for path, node in places:
        for what, change in _changes(node):
            tree = copy.deepcopy(original)
            parent, (field, place) = _at(tree, path[:-1]), path[-1]
            target = getattr(parent, field) if place is None else getattr(parent, field)[place]
            new = change(target)
            if place is None:
                setattr(parent, field, new)
            else:
                getattr(parent, field)[place] = new
            found.append(Mutant(ast.fix_missing_locations(tree), node.lineno, f"{what}: {ast.unparse(node).splitlines()[0][:100]}"))
    return iter(sorted(found, key=lambda mutant: mutant.line))


Step = tuple[str, "int | None"]


def _walk(node: ast.AST, path: tuple[Step, ...]) -> Iterator[tuple[tuple[Step, ...], Any]]:
    """Every statement and expression below a node but annotations, decorators and docstrings."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "bases", "type_comment", "targets"):
            continue
        children = [(None, value)] if isinstance(value, ast.AST) else list(enumerate(value)) if isinstance(value, list) else []
        for place, child in children:
            is_text = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            if not isinstance(child, ast.AST) or is_text or isinstance(child, (ast.Import, ast.ImportFrom)):
                continue
            if isinstance(child, (ast.stmt, ast.expr)):
                yield (*path, (field, place)), child
            yield from _walk(child, (*path, (field, place)))


def _at(tree: ast.AST, path: tuple[Step, ...]) -> Any:
    node: Any = tree
    for field, place in path:
        node = getattr(node, field) if place is None else getattr(node, field)[place]
    return node


def _changes(node: ast.AST) -> Iterator[tuple[str, Any]]:
    """What may be changed at a node."""
    nothing = ast.Pass()
    if isinstance(node, (ast.Raise, ast.Delete)) or (isinstance(node, ast.Expr) and not isinstance(node.value, (ast.Yield, ast.YieldFrom))):
        yield "taken away", lambda old: nothing
    if isinstance(node, ast.Return) and node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
        yield "returns None", lambda old: ast.Return(ast.Constant(None))
    if isinstance(node, ast.Assign) and all(isinstance(target, (ast.Attribute, ast.Tuple)) for target in node.targets):
        yield "taken away", lambda old: nothing
    if isinstance(node, (ast.If, ast.IfExp, ast.While)) and not isinstance(node.test, ast.Constant):
        for value in (True, False) if not isinstance(node, ast.While) else (False,):
            yield f"condition always {value}", lambda old, value=value: _with(old, "test", ast.Constant(value))
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
        yield "turned", lambda old: _with(old, "ops", [COMPARISONS[type(old.ops[0])](), *old.ops[1:]])
    if isinstance(node, ast.BoolOp):
        yield "and for or", lambda old: _with(old, "op", ast.Or() if isinstance(old.op, ast.And) else ast.And())
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "not taken away", lambda old: old.operand
    if isinstance(node, ast.Constant):
        yield from _constants(node)


def _constants(node: ast.Constant) -> Iterator[tuple[str, Any]]:
    value = node.value
    if isinstance(value, bool):
        yield "True for False", lambda old: ast.Constant(not old.value)
    elif isinstance(value, (int, float)):
        yield "one greater", lambda old: ast.Constant(old.value + 1)
    elif isinstance(value, str) and value.startswith(WORDS):
        yield "no such words", lambda old: ast.Constant("SELECT 1")


def _with(node: Any, field: str, value: Any) -> Any:
    setattr(node, field, value)
    return node


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the mutated module under the real one's name."""

    def __init__(self, name: str, path: Path, tree: ast.Module) -> None:
        self.name, self.path, self.tree = name, path, tree

    def find_spec(self, name: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        return spec_from_loader(name, self, origin=str(self.path)) if name == self.name else None

    def create_module(self, spec: object) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = str(self.path)
        exec(compile(self.tree, str(self.path), "exec"), module.__dict__)


def survives(mutant: Mutant, path: Path, tests: Sequence[str], limit_s: float) -> bool:
    """Whether the tests pass with the mutant; one that takes too long was noticed."""
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        status = 1
        with contextlib.suppress(BaseException):
            import pytest

            sys.meta_path.insert(0, Finder(".".join(path.relative_to(ROOT).with_suffix("").parts), path, mutant.tree))
            status = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning", *tests]))
        os._exit(0 if status == 0 else 1)
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status == 0
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def main() -> int:
    """Run every mutant of one module; 0 when all that survive are explained in the report."""
    parser = argparse.ArgumentParser(description="Change one thing in a module, and see whether a test notices.")
    parser.add_argument("module", type=Path)
    parser.add_argument("--tests", nargs="+", required=True, help="the fast ones, which every mutant meets")
    parser.add_argument("--then", nargs="*", default=[], help="slower ones, for what survived those")
    parser.add_argument("--report", type=Path, help="a JSON file; what is known of its survivors stays")
    parser.add_argument("--limit-s", type=float, default=90.0)
    parser.add_argument("--lines", help="such as 40-80: only these")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    sys.path[:0] = [str(ROOT)]
    for name in PRELOADED:
        importlib.import_module(name)
    path = arguments.module.resolve()
    first, last = map(int, arguments.lines.split("-")) if arguments.lines else (0, 10**6)
    chosen = [mutant for mutant in mutants(path.read_text("utf-8")) if first <= mutant.line <= last]
    if not survives(Mutant(ast.parse(path.read_text("utf-8")), 0, ""), path, [*arguments.tests, *arguments.then], 600):
        print("the tests fail without a mutant", file=sys.stderr)
        return 2
    left = []
    for number, mutant in enumerate(chosen, 1):
        if survives(mutant, path, arguments.tests, arguments.limit_s) and (
            not arguments.then or survives(mutant, path, arguments.then, arguments.limit_s)
        ):
            left.append(mutant)
            print(f"[{number}/{len(chosen)}] survives: line {mutant.line}, {mutant.what}", flush=True)
        if arguments.report is not None:  # as far as it came: a run that is cut short has its worth
            _report(arguments.report, str(arguments.module), len(chosen), number, left)
    print(f"{arguments.module}: {len(chosen)} mutants, {len(chosen) - len(left)} noticed, {len(left)} survive")
    return 0 if arguments.report is None else _report(arguments.report, str(arguments.module), len(chosen), len(chosen), left)


def _report(file: Path, module: str, count: int, tried: int, left: list[Mutant]) -> int:
    """Write how many were tried, and what survives; reasons that people gave stay with the same change. Returns how many have none."""
    rows = json.loads(file.read_text("utf-8")) if file.exists() else {}
    known = {row["what"]: row["why"] for row in rows.get(module, {}).get("survivors", [])}
    survivors = [{"line": m.line, "what": m.what, "why": known.get(m.what, "")} for m in left]
    rows[module] = {"mutants": count, "tried": tried, "noticed": tried - len(left), "survivors": survivors}
    file.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", "utf-8")
    write_page(file.with_suffix(".md"), rows)
    return min(100, sum(not row["why"] for row in survivors))


def write_page(page: Path, rows: dict[str, Any]) -> None:
    """Put the tables between the markers of the page beside the report, where there is such a page."""
    if not page.exists():
        return
    lines = ["| module | mutants | noticed | survive |", "|---|---:|---:|---:|"]
    lines += [f"| `{module}` | {row['tried']} | {row['noticed']} | {len(row['survivors'])} |" for module, row in rows.items()]
    lines += ["", "| survivor | change | why no test can or need notice it |", "|---|---|---|"]
    for module, row in rows.items():
        lines += [
            f"| `{Path(module).name}`, line {found['line']} | `{found['what'].replace('|', '&#124;')}` | {found['why']} |"
            for found in row["survivors"]
        ]
    before, _, rest = page.read_text("utf-8").partition(START)
    page.write_text(f"{before}{START}\n" + "\n".join(lines) + f"\n{END}{rest.partition(END)[2]}", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
