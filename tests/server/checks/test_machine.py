"""What is asked of the machine: privileges, compiler, mounts. The files that say so are written."""

import os
import resource
import sys
from pathlib import Path

import pytest

from server.checks import mounts, privileges, toolchain
from server.checks.finding import State
from server.settings import Settings

ALL_CAPABILITIES = (1 << 41) - 1
IPC_LOCK = 1 << 14


@pytest.fixture
def status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "status"
    monkeypatch.setattr(privileges, "_STATUS", file)
    return file


@pytest.fixture(autouse=True)
def in_the_initial_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privileges, "in_initial_user_namespace", lambda: True)


def hold(status: Path, capabilities: int) -> None:
    status.write_text(f"CapInh:\t0\nCapPrm:\t{ALL_CAPABILITIES:x}\nCapEff:\t{capabilities:016x}\n")


def test_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert privileges.root(Settings()).state is State.OK
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    found = privileges.root(Settings())
    assert (found.state, found.found) == (State.BLOCKER, "user 1000")
    assert "sudo" in found.remedy


def test_root_of_a_user_namespace_alone_is_nobody(
    status: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(status, ALL_CAPABILITIES)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(privileges, "in_initial_user_namespace", lambda: False)
    for probe in (privileges.root, privileges.capabilities):
        found = probe(Settings())
        assert found.state is State.BLOCKER
        assert "in the initial user namespace" in found.remedy


@pytest.mark.parametrize("name", privileges.CAPABILITIES)
def test_a_capability_that_is_missing_is_named(name: str, status: Path) -> None:
    hold(status, ALL_CAPABILITIES)
    assert privileges.capabilities(Settings()).state is State.OK
    hold(status, ALL_CAPABILITIES & ~(1 << privileges.CAPABILITIES[name]))
    found = privileges.capabilities(Settings())
    assert (found.state, found.found) == (State.BLOCKER, f"missing: CAP_{name}")


@pytest.mark.parametrize(
    ("capabilities", "paranoid", "limit_kib", "state"),
    [
        (ALL_CAPABILITIES, 2, 0, State.OK),
        (ALL_CAPABILITIES & ~IPC_LOCK, 2, 0, State.BLOCKER),
        (ALL_CAPABILITIES & ~IPC_LOCK, -1, 0, State.OK),
        (ALL_CAPABILITIES & ~IPC_LOCK, 2, 1 << 20, State.OK),
        (ALL_CAPABILITIES & ~IPC_LOCK, 2, None, State.OK),
    ],
)
def test_locked_memory(
    status: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capabilities: int,
    paranoid: int,
    limit_kib: int | None,
    state: State,
) -> None:
    hold(status, capabilities)
    (tmp_path / "perf_event_paranoid").write_text(f"{paranoid}\n")
    (tmp_path / "perf_event_mlock_kb").write_text("516\n")
    limit = resource.RLIM_INFINITY if limit_kib is None else limit_kib * 1024
    monkeypatch.setattr(privileges, "_PERF", tmp_path)
    monkeypatch.setattr(privileges, "online_cpus", lambda: (0, 1))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    found = privileges.locked_memory(Settings(ring_bytes=8 << 20))
    assert found.state is state
    assert found.found.startswith("2 rings of 8192 KiB")


def test_small_rings_need_no_locked_memory(status: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hold(status, 0)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (0, 0))
    assert privileges.locked_memory(Settings(ring_bytes=4096)).state is State.OK


def bcc_folder(tmp_path: Path, *files: str) -> Path:
    folder = tmp_path / "bcc"
    folder.mkdir()
    for name in ("__init__.py", *files):
        (folder / name).write_text("__version__ = '0.30.1'\n" if name == "version.py" else "")
    return tmp_path


def test_bcc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(bcc_folder(tmp_path, "libbcc.py", "version.py"))])
    found = toolchain.bcc(Settings())
    assert (found.state, found.found) == (State.OK, f"0.30.1 in {tmp_path}/bcc")


def test_the_other_bcc_is_told_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(bcc_folder(tmp_path, "version.py"))])
    found = toolchain.bcc(Settings())
    assert (found.state, found.found) == (State.BLOCKER, f"another package: {tmp_path}/bcc")
    assert found.remedy.startswith("pip uninstall bcc; apt-get install python3-bpfcc")


def test_no_bcc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    found = toolchain.bcc(Settings())
    assert (found.state, found.found) == (State.BLOCKER, f"not there for {sys.executable}")


def test_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "_HEADERS", tmp_path)
    found = toolchain.headers(Settings())
    assert found.state is State.BLOCKER
    assert f"{tmp_path}/linux/bpf.h" in found.found
    assert found.remedy == "apt-get install linux-libc-dev"


def mounted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *lines: str) -> None:
    file = tmp_path / "mountinfo"
    root = "21 1 254:0 / / rw,relatime - ext4 /dev/root rw"
    file.write_text("\n".join((root, *lines)) + "\n")
    monkeypatch.setattr(mounts, "_MOUNTS", file)


def test_bpffs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "pins here"
    settings = Settings(bpffs=folder / "below")
    mounted(monkeypatch, tmp_path)
    found = mounts.bpffs(settings)
    assert found.state is State.WARNING
    assert found.found.startswith(f"not mounted at {folder}/below (ext4)")
    shown = str(folder).replace(" ", "\\040")
    mounted(monkeypatch, tmp_path, f"40 21 0:35 / {shown} rw shared:7 - bpf bpf rw")
    assert mounts.bpffs(settings).state is State.OK
    # what is mounted over it counts
    mounted(
        monkeypatch,
        tmp_path,
        f"40 21 0:35 / {shown} rw shared:7 - bpf bpf rw",
        f"41 40 0:36 / {shown} rw - tmpfs tmpfs rw",
    )
    assert mounts.bpffs(settings).state is State.WARNING


def test_a_file_in_the_place_of_the_bpffs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert mounts.bpffs(Settings(bpffs=tmp_path / "file")).state is State.BLOCKER


@pytest.mark.parametrize(
    ("kinds", "found"),
    [
        ([], "not mounted; not needed"),
        (["cgroup", "cgroup"], "version 1; not needed"),
        (["cgroup2"], "version 2; not needed"),
        (["cgroup", "cgroup2"], "hybrid: versions 1 and 2; not needed"),
    ],
)
def test_cgroups(
    kinds: list[str], found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"4{i} 21 0:3{i} / /c{i} rw - {kind} none rw" for i, kind in enumerate(kinds)]
    mounted(monkeypatch, tmp_path, *lines)
    assert mounts.cgroups(Settings()).found == found


def test_tracefs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounted(monkeypatch, tmp_path)
    assert mounts.tracefs(Settings()).found == "not mounted; not needed"
    mounted(monkeypatch, tmp_path, "42 21 0:12 / /sys/kernel/tracing rw - tracefs tracefs rw")
    assert mounts.tracefs(Settings()).found == "/sys/kernel/tracing; not needed"
