"""The fault plan with the figures of `make test`; `make faults` runs the night's."""

from __future__ import annotations

from pathlib import Path

import campaign
import pytest
from fault import Fault


@pytest.mark.parametrize("fault", campaign.faults(), ids=lambda fault: fault.id)
def test_row_holds(fault: Fault, tmp_path: Path) -> None:
    folder = tmp_path / "faults"
    folder.mkdir()
    outcome = fault.run(fault.pr, 0, folder)
    assert not outcome.failures, "\n".join(outcome.failures[:10])
    assert outcome.trials >= fault.pr


def test_ids_are_given_once() -> None:
    names = [fault.id for fault in campaign.faults()]
    assert len(set(names)) == len(names)
