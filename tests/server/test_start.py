"""`hubble-server` as a process: what it cannot start with, it names; what it can, it serves."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("hubble-server")


def start(folder: Path, *words: str | Path, before: tuple[str, ...] = ()) -> tuple[int, str]:
    """Run to the end; the exit status and the last line on standard error."""
    result = subprocess.run(
        [*before, PROGRAM, "--socket-path", folder / "run" / "hubble.sock", *words],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return result.returncode, result.stderr.strip().splitlines()[-1]


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as held:
        yield int(held.getsockname()[1])


def test_a_taken_port_is_named(tmp_path: Path, taken_port: int) -> None:
    status, line = start(tmp_path, "--listen-address", f"127.0.0.1:{taken_port}")
    assert status == 1
    assert line.startswith("hubble-server: ")
    assert f"127.0.0.1:{taken_port}" in line
    assert "in use" in line.lower()
    assert not (tmp_path / "run" / "hubble.sock").exists()


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    status, line = start(tmp_path, "--event-buffer-capacity", "4096")
    assert status == 1
    assert line.startswith("hubble-server: set event-buffer-capacity from flag")
    assert line.endswith("expected one less than a power of two: '4096'")


def test_to_observe_it_must_know_what(tmp_path: Path) -> None:
    status, line = start(tmp_path, "--mode", "observe")
    assert status == 1
    assert line == "hubble-server: observe: which interfaces? --interface NAME, such as 'veth*'"


def test_interfaces_of_others_are_only_observed(tmp_path: Path) -> None:
    status, line = start(tmp_path, "--interface", "veth*")
    assert status == 1
    assert line == "hubble-server: --interface is for --mode observe"


def test_a_truncated_recording_is_refused_with_its_offset(tmp_path: Path) -> None:
    recording = tmp_path / "cut.rec"
    recording.write_bytes(b"LEAVITT\n\x01\0\0\0\xd8\0\0\0" + bytes(8) + b"\x01\0\0")
    status, line = start(tmp_path, "--replay", recording)
    assert status == 1
    assert f"{recording}: truncated" in line
    assert line.endswith("at offset 24")


def test_a_replay_has_no_other_state(tmp_path: Path) -> None:
    status, line = start(tmp_path, "--replay", tmp_path / "x.rec", "--state", tmp_path)
    assert status == 1
    assert "leave out --state" in line


@pytest.mark.kernel
def test_without_root_it_says_what_is_needed(tmp_path: Path) -> None:
    # in a user namespace of its own a process is nobody, and may use no BPF
    status, line = start(tmp_path, before=("unshare", "--user"))
    assert status == 1
    assert line.startswith("hubble-server: ")
    assert "root" in line
