"""`make test-aarch64`: the same answers on an emulated Raspberry Pi 4 (Cortex-A72) as on this machine.

Debian's Python for arm64 and QEMU's user-mode emulator are fetched with apt into a folder of their own, and unpacked there: no root is
needed, and nothing is installed. The wheels are those of `requirements-minimal.txt` for aarch64. Then `device_check.py` predicts,
corrects, undoes, exports and asks for health with the committed artifact. Skips with the reason (exit code 0) where the packages cannot
be had; exits with 1 when an answer differs.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from comparing import MINIMAL, CommandError, Device, build_wheel, differences, run, table

PACKAGES = ("python3-minimal", "libpython3-stdlib", "libstdc++6", "libsqlite3-0")
TAGS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
TITLES = ("device", "Python", "ONNX Runtime", "numpy", "engine", "health", "peak memory with QEMU", "greatest difference", "result")


class CannotBeHadError(Exception):
    """What this check needs is not to be had here; the message says what and why."""


def fetched(packages: Sequence[str], architecture: str, folder: Path) -> Path:
    """Debian packages with all that they need, unpacked into a folder, by apt with a state of its own.

    Raises:
        CannotBeHadError: no apt here, or no such package.
    """
    state, root = folder / f"apt-{architecture}", folder / f"root-{architecture}"
    for place in ("lists/partial", "cache/archives/partial"):
        (state / place).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    root.mkdir(exist_ok=True)
    options = {
        "APT::Architecture": architecture, "APT::Architectures": architecture, "APT::Install-Recommends": "0", "APT::Sandbox::User": "",
        "Dir::State": str(state), "Dir::State::lists": str(state / "lists"), "Dir::State::status": str(state / "status"),
        "Dir::Cache": str(state / "cache"), "Debug::NoLocking": "1",
    }  # fmt: skip
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    try:
        run([*apt, "update"])
        run([*apt, "-y", "--download-only", "install", *packages])
        for package in sorted((state / "cache/archives").glob("*.deb")):
            run(["dpkg", "-x", str(package), str(root)])
    except CommandError as error:
        raise CannotBeHadError(f"{', '.join(packages)} for {architecture}: {error}") from None
    return root


def emulator(folder: Path) -> str:
    """The path of `qemu-aarch64-static`: the system's, or one that is fetched.

    Raises:
        CannotBeHadError: there is none.
    """
    found = shutil.which("qemu-aarch64-static")
    if found:
        return found
    machine = {"x86_64": "amd64"}.get(platform.machine())
    if machine is None:
        raise CannotBeHadError(f"qemu-aarch64-static is not installed, and this machine is {platform.machine()}, not x86-64")
    return str(fetched(["qemu-user-static"], machine, folder) / "usr/bin/qemu-aarch64-static")


def raspberry_pi(folder: Path) -> Device:
    """Python with the project on an emulated Cortex-A72.

    Raises:
        CannotBeHadError: a package or a wheel cannot be had, or the emulator does not run it.
    """
    qemu = emulator(folder)
    root = fetched(PACKAGES, "arm64", folder)
    python = next((path for path in sorted((root / "usr/bin").glob("python3.*")) if path.name.count(".") == 1), None)
    if python is None:
        raise CannotBeHadError("Debian's python3-minimal for arm64 holds no Python")
    version, site = python.name.removeprefix("python"), folder / "site"
    tags = [option for tag in TAGS for option in ("--platform", tag)]
    target = ["--target", str(site), "--python-version", version, "--implementation", "cp", *tags, "--only-binary=:all:"]
    try:
        wheel = build_wheel(folder)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", *target]
        run([*pip, "-r", str(MINIMAL)])
        run([*pip, str(wheel)])
    except CommandError as error:
        raise CannotBeHadError(f"wheels for aarch64 and Python {version}: {error}") from None
    command = (qemu, "-cpu", "cortex-a72", "-L", str(root), str(python))
    environment = {**os.environ, "PYTHONHOME": str(root / "usr"), "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    environment["EDGE_AGENT_TRIAL_TIMEOUT_S"] = "0"  # the emulated Python cannot start itself: the artifact is tried in this process
    return Device(command, environment)


def main() -> None:
    """Build the device, ask it and this machine, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, help="where to build the device; by default a temporary folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        try:
            device = raspberry_pi(folder.resolve())
        except CannotBeHadError as reason:
            print(f"skipped: {reason}")
            return
        reference = Device((sys.executable,), {**os.environ, "PYTHONPATH": str(MINIMAL.parent)}).check()
        found = device.check()
    faults, worst = differences(reference, found)
    if found["machine"] != "aarch64":
        faults.append(f"the machine is {found['machine']}")
    line = (
        "Raspberry Pi 4 (Cortex-A72), emulated", found["python"], found["onnxruntime"], found["numpy"], found["engine"],
        found["health"]["status"], f"{found['peak_mb']:.0f} MB", f"{worst:.0e}", f"FAILED: {'; '.join(faults)}" if faults else "same",
    )  # fmt: skip
    print(f"compared with {reference['machine']}, onnxruntime {reference['onnxruntime']}, {reference['engine']}\n")
    print(table(TITLES, [line]))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
