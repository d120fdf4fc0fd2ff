"""The checks of what was built and installed: artifact, runtime, golden samples, latency."""

from __future__ import annotations

import time

import numpy as np

from edge_agent.check import Check, Fault, conclude, readable
from edge_agent.head import softmax
from edge_agent.nagios import Range, Status
from edge_agent.providers import CPU, CUDA
from edge_agent.signature import signature_in_words
from edge_agent.subject import Subject

_LATENCY_BUDGET_S, _LATENCY_LEAST, _LATENCY_MOST = 0.5, 3, 40


def check_artifact(subject: Subject) -> Check:
    """Manifest, schema and the digest of every file; of a running agent also whether its artifact is still the one on the disk."""
    artifact = subject.artifact()
    manifest = artifact.manifest
    size = sum(entry.bytes for entry in manifest.files.values())
    faults = []
    if subject.running and subject.running.digest != artifact.digest:
        found = f"another artifact lies there now: {artifact.digest[:12]}…, in use is {subject.running.digest[:12]}…"
        faults.append(Fault(Status.WARNING, found, "start the program again to use the new one"))
    record = subject.record_fault()
    if record is not None:
        faults.append(Fault(Status.WARNING, record.message, record.hint))
    signature = signature_in_words(artifact.signature, bool(subject.settings.trusted_key))
    detail = f"{manifest.model.name}, {len(manifest.files)} files, {readable(size, 'B')}, every SHA-256 fits; {signature}"
    measures = [subject.health.measure("artifact_size", size)]
    return conclude("artifact", detail, measures, "build it smaller, or move the threshold", faults)


def check_runtime(subject: Subject) -> Check:
    """ONNX Runtime, the session and the engine start with what was asked for; a provider that does not work is no silent fall-back.

    The session takes most of the time of a short report. It is left out where `golden` and `latency`, which need it, are left out too and
    there is nothing but the CPU that it could run on.
    """
    settings, runtime, faults = subject.settings, subject.onnxruntime(), []
    on_cpu = settings.provider == CPU or (settings.provider == "auto" and CUDA not in runtime.get_available_providers())
    provider, session = CPU, "; no session was started, since golden and latency are left out"
    if subject.running or not on_cpu or {"golden", "latency"} & set(subject.health.checks):
        provider, session = subject.backbone().provider, ""
        if provider == CPU and not on_cpu:
            hint = "mend the CUDA installation, or ask for the CPU with --provider CPUExecutionProvider"
            faults.append(Fault(Status.WARNING, subject.backbone().reason, hint))
    engine, engine_reason = subject.engine()
    threads = f"{settings.threads} threads" if settings.threads else "threads as ONNX Runtime chooses"
    asked = f"provider {provider} (asked: {settings.provider}), engine {engine} (asked: {settings.engine}; {engine_reason})"
    detail = f"ONNX Runtime {runtime.__version__}, {asked}, {threads}{session}"
    measures = [] if subject.running else [subject.health.measure("runtime_start", subject.start_s)]
    return conclude("runtime", detail, measures, "look at the machine's load, or move the threshold", faults)


def check_golden(subject: Subject) -> Check:
    """The backbone gives the logits that were written when the artifact was built."""
    artifact, backbone = subject.artifact(), subject.backbone()
    count, tolerance = artifact.manifest.golden.count, artifact.manifest.golden.tolerance
    found = np.concatenate([backbone.run(subject.golden(place)).logits for place in range(count)])
    difference = float(np.abs(found - artifact.statistics.golden_logits).max())
    measure = subject.health.measure("golden_difference", difference, critical=Range.at_most(tolerance))
    detail = f"{count} golden samples, logits differ by at most {difference:.2g}, the artifact allows {tolerance:.2g}"
    hint = "the runtime computes something else here: try --provider CPUExecutionProvider, another ONNX Runtime, or another machine"
    return conclude("golden", detail, [measure], hint)


def check_latency(subject: Subject) -> Check:
    """The time from a picture's file to its probabilities, over the golden samples, after one pass to warm up."""
    artifact, backbone, head = subject.artifact(), subject.backbone(), subject.sound().head
    count = artifact.manifest.golden.count
    backbone.run(subject.golden(0))
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < _LATENCY_LEAST or (time.perf_counter() - begin < _LATENCY_BUDGET_S and len(times) < _LATENCY_MOST):
        started = time.perf_counter()
        tensor = subject.golden(len(times) % count)
        softmax(head.logits(backbone.run(tensor)))
        times.append(time.perf_counter() - started)
    p50, p95 = np.percentile(times, (50, 95), method="inverted_cdf").tolist()
    limit_ms = subject.health.max_latency_ms
    critical = None if limit_ms is None else Range.at_most(limit_ms / 1000)
    measures = [subject.health.measure("latency_p50", p50), subject.health.measure("latency_p95", p95, critical=critical)]
    allowed = "no limit is set (--max-latency-ms)" if limit_ms is None else f"allowed are {limit_ms:g} ms"
    detail = f"p50 {p50 * 1000:.1f} ms, p95 {p95 * 1000:.1f} ms over {len(times)} predictions; {allowed}"
    return conclude("latency", detail, measures, "look for other load, set --threads, use a GPU or a smaller network")
