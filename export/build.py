"""`edge-export build`: a plan goes in, an artifact and a report come out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from edge_agent.artifact import Artifact
from edge_agent.manifest import Manifest
from edge_agent.onnx_rules import check_graph
from export import report, report_facts, writer
from export.assemble import assemble
from export.corrections import Home
from export.dataset import Progress, Unreadable
from export.fit import fit
from export.learned import Learned
from export.plan import BuildPlan, prepare
from export.timing import Timing, beside_float


@dataclass(frozen=True)
class BuildReport:
    """What was built.

    Attributes:
        output: the artifact's directory.
        manifest: its manifest.
        unreadable: pictures that could not be read.
        elapsed_s: seconds.
        timing: a pass of the quantised network beside one of the float network; None where the network stayed in float32.
        home: what devices taught, or None where no corrections were given.
        learned: what was trained before the network was frozen, or None.
        page: the report that was written, or None.
    """

    output: Path
    manifest: Manifest
    unreadable: tuple[Unreadable, ...]
    elapsed_s: float
    timing: Timing | None = None
    home: Home | None = None
    learned: Learned | None = None
    page: Path | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is uncertain about the artifact, and whether quantising it was of use on this machine."""
        return (*self.manifest.statistics.warnings, *(self.timing.warnings if self.timing is not None else ()))


def build(plan: BuildPlan, progress: Progress) -> BuildReport:
    """Build an artifact.

    Args:
        plan: what to build.
        progress: told the stage and how far it is.

    Returns:
        The report; the artifact lies at `plan.output` and has been opened once.

    Raises:
        UsageError: the plan itself is wrong.
        InputError: weights, labels or pictures cannot be used.
        ArtifactError: the written files do not agree with PyTorch, or cannot be written; nothing is kept, but for the artifact where it
            is its report that cannot be written.
        RuntimeUnavailable: a tool that the export needs is missing.
    """
    started = time.monotonic()
    prepared = prepare(plan)
    fitted = fit(plan, prepared, progress)
    with writer.staged(plan.output, plan.overwrite) as folder:
        manifest = assemble(folder, plan, prepared, fitted, progress)
        (folder / writer.MANIFEST).write_bytes(manifest.to_bytes())
        _check_as_the_device(Artifact.open(folder))
    timing = beside_float(plan.output, fitted, progress) if fitted.smaller is not None else None
    if plan.report is not None:
        actions = prepared.policy.actions if prepared.policy is not None else {}
        so_far = report_facts.Course(fitted, actions, timing, time.monotonic() - started)
        report.write(report_facts.gather(plan, prepared, so_far, progress), plan.report)
    elapsed_s = time.monotonic() - started
    return BuildReport(plan.output, manifest, fitted.unreadable, elapsed_s, timing, prepared.home, fitted.learned, plan.report)


def _check_as_the_device(artifact: Artifact) -> None:
    """A network that a device would refuse is refused here, where it can be changed."""
    for name in artifact.manifest.files:
        if name.endswith(".onnx"):
            check_graph(name, artifact.read(name))
