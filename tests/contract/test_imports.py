"""DESIGN.md's order of imports, read from the source: data flows one way, and the device never needs the workstation."""

from __future__ import annotations

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Each module of the device and what it may import, lowest first; a package stands for all of its modules. A new module gets a
# line here, below everything that will import it.
LAYERS: dict[str, set[str]] = {
    "errors": set(),
    "chained": set(),
    "blas": set(),
    "manifest": {"errors"},
    "command_line": {"errors"},
    "image": {"errors", "manifest"},
    "settings_file": {"errors"},
    "settings": {"errors", "image", "settings_file"},
    "signature": {"errors"},
    "artifact": {"errors", "manifest", "signature"},
    "ort": {"errors"},
    "providers": {"errors", "ort"},
    "onnx_wire": {"errors"},
    "onnx_operators": set(),
    "onnx_rules": {"artifact", "errors", "onnx_operators", "onnx_wire"},
    "atomic_file": {"errors"},
    "label_rules": {"errors", "manifest"},
    "journal_digests": set(),
    "journal_migrations": {"journal_digests"},
    "journal_holder": set(),
    "journal_file": {"errors", "journal_holder", "journal_migrations"},
    "journal_facts": {"errors", "journal_digests", "journal_file"},
    "journal_mark": {"errors", "journal_digests", "journal_facts"},
    "runtime": {"chained", "errors", "artifact", "ort", "providers"},
    "engines": {"errors", "artifact", "ort", "providers"},
    "artifact_record": {"atomic_file", "errors"},
    "trial": {"artifact", "engines", "errors", "image", "onnx_rules", "providers", "runtime"},
    "trial_limits": set(),
    "trial_child": {"artifact", "errors", "trial", "trial_limits"},
    "admission": {
        "artifact", "artifact_record", "errors", "onnx_rules", "ort", "settings", "signature", "trial", "trial_child", "trial_limits",
    },
    "head": {"errors", "artifact", "runtime"},
    "remembering": {"head", "runtime"},
    "remembered_rows": {"head", "remembering"},
    "new_class": {"errors", "artifact", "runtime", "head", "remembering"},
    "learner": {"remembered_rows", "remembering", "errors", "settings", "artifact", "runtime", "engines", "head", "new_class"},
    "guard": {"errors", "settings", "artifact", "runtime", "head", "new_class"},
    "findings": {"errors", "artifact", "runtime", "head", "remembered_rows"},
    "journal_blobs": {"errors", "head", "journal_digests", "remembering", "runtime"},
    "journal_queue": {"errors", "journal_blobs", "journal_digests", "runtime"},
    "journal_requests": {"errors", "journal_digests"},
    "journal_rows": {"errors", "guard", "head", "journal_blobs", "journal_digests", "journal_file", "runtime"},
    "journal_writer": {
        "errors", "head", "journal_blobs", "journal_digests", "journal_facts", "journal_queue", "journal_requests", "journal_rows",
        "remembering", "runtime", "settings",
    },
    "state_reader": {"errors", "journal_digests", "journal_facts", "journal_file", "journal_migrations", "journal_rows"},
    "journal_opening": {"journal_file", "state_reader"},
    "journal": {
        "errors", "journal_digests", "journal_facts", "journal_file", "journal_mark", "journal_opening", "journal_rows", "journal_writer",
        "settings",
    },
    "results": {"errors", "runtime", "head", "guard", "findings"},
    "keeper": {
        "errors", "settings", "artifact", "runtime", "engines", "head", "learner", "guard", "findings", "journal",
        "journal_file", "providers",
    },
    "correcting": {"errors", "settings", "artifact", "runtime", "head", "learner", "guard", "findings", "journal", "results", "keeper"},
    "corrected_onnx": {"atomic_file", "chained", "errors", "image", "artifact", "ort", "onnx_wire", "providers", "runtime", "head"},
}
LAYERS["labelling"] = {"errors", "journal", "keeper", "label_rules"}
LAYERS["advising"] = {"artifact", "correcting", "head", "journal", "keeper", "runtime"}
LAYERS["cli_labels"] = set()
LAYERS["cli_advise"] = {"advising"}
LAYERS["cli_engine"] = {"engines"}
LAYERS["views"] = {"errors"}
LAYERS |= {
    "supervised": {"errors"},
    "nagios": {"errors"},
    "health_settings": {"errors", "nagios", "settings_file"},
    "check": {"nagios"},
}
LAYERS["fold"] = {"artifact", "blas", "keeper", "runtime"}
LAYERS["state_check"] = {"artifact", "errors", "fold", "journal", "journal_file", "journal_mark", "keeper", "settings", "state_reader"}
LAYERS["state_salvage"] = {"journal_digests", "journal_facts", "journal_file"}
LAYERS["state_copy"] = {"errors", "journal_facts", "journal_file", "journal_mark", "state_check", "state_reader", "state_salvage"}
LAYERS["state_replacing"] = {
    "artifact", "errors", "journal", "journal_facts", "journal_file", "journal_mark", "journal_writer", "keeper", "settings", "state_copy",
}  # fmt: skip
LAYERS["state_compacting"] = {"errors", "journal", "state_check", "state_reader"}
LAYERS["cli_state"] = {
    "artifact", "journal", "journal_rows", "settings", "state_check", "state_compacting", "state_copy", "state_replacing",
}  # fmt: skip
LAYERS["subject"] = set(LAYERS)
LAYERS["checks_model"] = LAYERS["checks_state"] = set(LAYERS)
LAYERS["checks_machine"] = set(LAYERS)
LAYERS["health"] = set(LAYERS)
LAYERS["metrics"] = {"atomic_file", "errors", "health", "health_settings", "nagios", "state_reader"}
LAYERS["taking_back"] = {"errors", "journal", "keeper", "results"}
LAYERS["recorded"] = {"errors", "head", "journal", "keeper", "remembering", "settings"}
LAYERS["observer"] = {"errors", "manifest", "image", "runtime", "views"}
LAYERS["asking"] = {"findings", "head", "results", "runtime"}
LAYERS["waiting_pool"] = {"journal", "journal_queue", "runtime"}
LAYERS["queue"] = {
    "artifact", "asking", "blas", "correcting", "errors", "journal", "journal_queue", "keeper", "results", "runtime", "settings",
    "waiting_pool",
}  # fmt: skip
LAYERS["folder_names"] = set()
LAYERS["corrections_folder"] = {"errors", "artifact", "folder_names", "recorded"}
LAYERS["cli_corrections"] = {"corrections_folder"}
LAYERS["teaching"] = {
    "blas", "correcting", "errors", "image", "journal", "keeper", "label_rules", "observer", "results", "runtime",
}  # fmt: skip
LAYERS["agent"] = set(LAYERS)
LAYERS["migrating"] = {
    "admission", "agent", "artifact", "errors", "journal", "journal_facts", "journal_file", "journal_queue", "journal_requests",
    "journal_rows", "settings", "state_check", "state_reader", "state_replacing", "state_salvage",
}  # fmt: skip
LAYERS["cli_migrate"] = {"artifact", "migrating", "settings"}
LAYERS["speed"] = {"agent", "artifact", "errors", "image", "results", "runtime", "settings"}
LAYERS["mqtt"] = {"agent", "errors", "health_settings", "journal_requests", "results", "settings_file"}
LAYERS["cli_mqtt"] = {"health_settings", "mqtt"}
LAYERS["cli_bench"] = {"speed"}
LAYERS["printing"] = {"errors", "guard", "recorded", "results", "queue", "check", "health"}
LAYERS["cli_queue"] = {"atomic_file", "errors", "printing", "queue"}
LAYERS["cli_health"] = {"errors", "health_settings", "nagios", "supervised", "health", "metrics", "printing"}
LAYERS["service"] = {
    "agent", "errors", "health_settings", "journal_queue", "metrics", "nagios", "queue", "recorded", "results", "settings_file",
}  # fmt: skip
LAYERS["cli_serve"] = {"errors", "service"}
LAYERS["cli"] = set(LAYERS)

DEVICE_PACKAGES = {"click", "numpy", "onnxruntime", "PIL", "prometheus_client", "rich", "safetensors", "threadpoolctl", "tomli"}
DEVICE_PACKAGES |= {"h11", "starlette", "uvicorn"}  # the extra [service]
DEVICE_PACKAGES |= {"paho"}  # the extra [mqtt]
DEVICE_PACKAGES |= {"cryptography"}  # the extra [signed]
WORKSTATION_MAY_IMPORT = {"artifact", "chained", "command_line", "errors", "image", "manifest", "onnx_rules", "ort", "signature"}

# One module of the workstation teaches a finished artifact, with the agent itself, to report what a correction does there.
WORKSTATION_TEACHES = {"export.effect": {"edge_agent:EdgeAgent", "runtime", "settings", "views"}}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def exists(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at any depth and also for type checkers; `package:name` is a name of a package's `__init__`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = dotted(path).split(".")
            if path.name != "__init__.py":
                start.pop()
            above = start[: len(start) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.add(inner if exists(inner) else f"{base}:{alias.name}" if base in ("edge_agent", "export") else base)
    return found


def layer(name: str) -> str:
    """`edge_agent.engines.portable` stands in the layer `engines`."""
    return name.split(".")[1] if "." in name else name


DEVICE = [path for path in modules("edge_agent") if path != ROOT / "edge_agent" / "__init__.py"]
WORKSTATION = modules("export")


def test_table_points_down() -> None:
    below: set[str] = set()
    for name, allowed in LAYERS.items():
        assert allowed <= below, f"{name} may import {sorted(allowed - below)}, which stands above it"
        below.add(name)


@pytest.mark.parametrize("path", DEVICE, ids=dotted)
def test_device_module_imports_only_what_lies_below(path: Path) -> None:
    own = layer(dotted(path))
    assert own in LAYERS, f"{dotted(path)} is not in the table of this test: give it a place"
    ours = {name for name in imports(path) if name.split(":")[0].split(".")[0] == "edge_agent"}
    strange = {name for name in ours if name != "edge_agent:__version__" and layer(name) not in LAYERS[own] | {own}}
    assert not strange, f"{dotted(path)} imports {sorted(strange)}, and may import {sorted(LAYERS[own])}"


def test_public_face_imports_only_the_agent_and_the_errors() -> None:
    ours = {name for name in imports(ROOT / "edge_agent" / "__init__.py") if name.startswith("edge_agent")}
    assert {layer(name) for name in ours} <= {"agent", "errors", "health"}


@pytest.mark.parametrize("path", modules("edge_agent"), ids=dotted)
def test_device_needs_nothing_of_the_workstation(path: Path) -> None:
    foreign = {name.split(".")[0].split(":")[0] for name in imports(path)} - set(sys.stdlib_module_names) - {"edge_agent"}
    assert foreign <= DEVICE_PACKAGES, f"{dotted(path)} imports {sorted(foreign - DEVICE_PACKAGES)}"


@pytest.mark.parametrize("path", WORKSTATION, ids=dotted)
def test_workstation_takes_only_the_format_from_the_device(path: Path) -> None:
    ours = {name for name in imports(path) if name.split(":")[0].split(".")[0] == "edge_agent"}
    allowed = WORKSTATION_MAY_IMPORT | WORKSTATION_TEACHES.get(dotted(path), set())
    strange = {name for name in ours if name != "edge_agent:__version__" and layer(name) not in allowed}
    assert not strange, f"{dotted(path)} imports {sorted(strange)}"


def test_no_cycles() -> None:
    graph = {
        dotted(path): {name.split(":")[0] for name in imports(path) if name.split(":")[0].split(".")[0] in ("edge_agent", "export")}
        - {dotted(path)}
        for path in [*DEVICE, *WORKSTATION]
    }
    for found in graph.values():
        found.discard("edge_agent")  # its `__version__`
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other: {' → '.join(error.args[1])}")
