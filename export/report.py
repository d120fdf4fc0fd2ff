"""The report: what was built, for a person with a browser; it lies beside the artifact and no device ever reads it.

Beside and not inside: it shows pictures of `--data`, the command with its paths and times of this machine. None of that should travel to
devices, and the same input must give the same artifact.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from edge_agent.errors import ArtifactError
from export import report_html as html
from export.report_facts import Facts
from export.report_sections import body

STYLE = Path(__file__).with_name("report.css")


def write(facts: Facts, path: Path) -> None:
    """Write the page; it appears under its name only when it is whole.

    Args:
        facts: from `report_facts.gather`.
        path: the file.

    Raises:
        ArtifactError: it cannot be written; the artifact is not touched.
    """
    name = facts.artifact.manifest.model.name
    content = html.page(f"{name}, {facts.artifact.manifest.classes} labels: report", STYLE.read_text("utf-8"), body(facts))
    path = Path(os.path.abspath(path))
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(content, "utf-8")
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        hint = "the artifact is there; give another --report"
        raise ArtifactError(f"the report {path} cannot be written: {error.strerror}", hint) from None
