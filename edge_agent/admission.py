"""May this artifact be used here? Its signature and version where a key is trusted, and its first load in a child process."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path

from edge_agent.artifact import Artifact
from edge_agent.artifact_record import ArtifactRecord, read_record, record_folder, write_record
from edge_agent.errors import ArtifactError, StateError
from edge_agent.ort import runtime_stamp
from edge_agent.settings import Settings
from edge_agent.signature import verify_signature
from edge_agent.trial_limits import TrialLimits, limit_memory

_THREAD_BYTES = 128 * 1024**2  # of address space: a thread's stack, and its arena
_TIMES_ITS_SIZE = 6  # the file, the runtime's copy, and what it makes of it for this processor


def admit(artifact: Artifact, state: Path, settings: Settings, with_golden: bool = True, isolated: bool = False) -> ArtifactRecord:
    """Decide; nothing is written.

    Args:
        artifact: opened.
        state: the state directory; it need not exist.
        settings: the trusted key, and the limits of the first load.
        with_golden: whether the first load compares the golden samples.
        isolated: whether this process is one that may die without harm to anybody. Then it looks through the graphs, holds itself to the
            trial's limit of memory, and the load is its own; what it goes on to run is not remembered as tried.

    Returns:
        What the state should remember from now on; `remember` writes it.

    Raises:
        ArtifactError: unsigned, signed by another key, changed or older, where a key is trusted; or its first load failed.
        StateError: a key is trusted, and what the state remembers of versions is damaged.
        UsageError: the trusted key cannot be read.
        RuntimeUnavailable: signatures cannot be checked here, or there is no ONNX Runtime or no child process.
    """
    try:
        record = read_record(record_folder(state, artifact.digest))
    except StateError:
        if settings.trusted_key:
            raise
        record = ArtifactRecord()  # costs a trial; health says so
    if settings.trusted_key:
        record = _admit_version(artifact, record, settings.trusted_key)
    runtime = runtime_stamp()
    if (artifact.digest, runtime) in record.tried:
        return record
    if isolated:
        _load_here(artifact, settings)
    else:
        _try(artifact, settings, with_golden)
        record = record.with_tried(artifact.digest, runtime)
    return record


def remember(record: ArtifactRecord, artifact: Artifact, state: Path, settings: Settings) -> bool:
    """Write what is to be remembered, where that is possible; no state is created for it, unless there are versions to remember.

    Args:
        record: from `admit`.
        artifact: opened.
        state: the state directory.
        settings: the trusted key.

    Returns:
        Whether there is a state; without one nothing could be written.
    """
    folder = record_folder(state, artifact.digest)
    with contextlib.suppress(OSError, StateError):
        if settings.trusted_key or folder != state:
            folder.mkdir(parents=True, exist_ok=True)
        if not folder.is_dir():
            return False
        if read_record(folder) != record:
            write_record(folder, record)
    return True


def _admit_version(artifact: Artifact, record: ArtifactRecord, trusted_key: str) -> ArtifactRecord:
    version = verify_signature(artifact.manifest.to_bytes(), artifact.signature, trusted_key).version
    newest = f"version {record.version} was in use here before"
    hint = "take the newer artifact, or have this one signed again with a higher version"
    if version < record.version:
        raise ArtifactError(f"the artifact is older: it has version {version}, and {newest}", hint)
    if version == record.version and artifact.digest != record.version_of:
        raise ArtifactError(f"the artifact has version {version} as another one that was in use here before", hint)
    return replace(record, version=version, version_of=artifact.digest)


def _try(artifact: Artifact, settings: Settings, with_golden: bool) -> None:
    if not settings.trial_timeout_s:
        from edge_agent.trial import try_artifact

        return try_artifact(artifact, with_golden)
    from edge_agent.trial_child import try_in_child

    return try_in_child(artifact.path, artifact.digest, with_golden, _limits(artifact, settings))


def _load_here(artifact: Artifact, settings: Settings) -> None:
    """What comes before the load in a process that may die."""
    from edge_agent.onnx_rules import check_graphs

    check_graphs(artifact)
    if settings.trial_timeout_s:
        limit_memory(_limits(artifact, settings).memory_bytes + _THREAD_BYTES * (settings.threads or os.cpu_count() or 1))


def _limits(artifact: Artifact, settings: Settings) -> TrialLimits:
    size = sum(entry.bytes for entry in artifact.manifest.files.values())
    return TrialLimits(settings.trial_timeout_s, settings.trial_memory_bytes + _TIMES_ITS_SIZE * size)
