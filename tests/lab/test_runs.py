from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lab import runs
from lab.errors import RunError
from lab.runs import Run, existing_runs, find_run


@pytest.fixture(autouse=True)
def runs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs that are nobody's."""
    monkeypatch.setattr(runs, "RUNS_FOLDER", tmp_path)
    monkeypatch.setattr(runs, "require_root", lambda: None)
    return tmp_path


@pytest.mark.parametrize("name", ["", "UP", "a-b", "../a", "ninechars", "a b", "a\n"])
def test_refuses_a_name_that_is_no_part_of_a_name(name: str) -> None:
    with pytest.raises(RunError, match="want 1 to 8 letters a-z or digits"):
        Run(name=name)


def test_a_run_has_one_owner() -> None:
    with (
        Run(name="a").lock(),
        pytest.raises(RunError, match=f"^run a is in use by process {os.getpid()}$"),
        Run(name="a").lock(),
    ):
        pass


def test_a_run_can_be_owned_again_and_leaves_no_lock(runs_folder: Path) -> None:
    for _ in range(2):
        with Run(name="a").lock():
            assert list(runs_folder.iterdir())
    assert not list(runs_folder.iterdir())


def test_a_run_that_stays_keeps_its_lock(runs_folder: Path) -> None:
    with Run(name="a").lock():
        Run(name="a").begin([])

    assert (runs_folder / "a.lock").exists()


def test_the_only_run_needs_no_name() -> None:
    with pytest.raises(RunError, match="no lab is up"):
        find_run(None)
    Run(name="a").begin([])
    assert find_run(None) == Run(name="a")
    Run(name="b").begin([])
    assert existing_runs() == [Run(name="a"), Run(name="b")]
    with pytest.raises(RunError, match="say --run with one of a, b"):
        find_run(None)
    assert find_run("b") == Run(name="b")
    with pytest.raises(RunError, match=r"^no run c$"):
        find_run("c")


def test_is_up_only_once_it_is_complete() -> None:
    run = Run(name="a")
    run.begin([])
    assert not run.is_up
    run.complete()
    assert run.is_up


def test_removes_its_own_pins(tmp_path: Path) -> None:
    for node in ("one", "two"):
        (tmp_path / "bpf" / node / "v1").mkdir(parents=True)
    run = Run(name="zzunit")
    run.begin([tmp_path / "bpf" / "one"])

    run.remove()

    assert [path.name for path in (tmp_path / "bpf").iterdir()] == ["two"]
    assert not run.folder.exists()


@pytest.mark.e2e
def test_removes_its_own_bpf_file_system() -> None:
    run = Run(name="zzunit")
    run.begin([run.own_bpffs / "leavitt" / "one"])
    run.own_bpffs.mkdir()
    subprocess.run(["mount", "-t", "bpf", "bpf", run.own_bpffs], check=True)

    run.remove()

    assert not run.folder.exists()
    assert str(run.own_bpffs) not in Path("/proc/self/mounts").read_text()
