"""The folder of YAML files: whole at first, then change by change, however files are written."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.cluster.errors import StateFolderError
from server.cluster.folder import StateFolder
from server.cluster.objects import Change
from server.cluster.scan import FolderScan

POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec: {{nodeName: lab-1}}
status: {{podIP: {address}}}
"""


def pod(name: str, address: str = "10.0.0.1") -> str:
    return POD.format(name=name, address=address)


def told(changes: tuple[Change, ...]) -> list[tuple[str, str]]:
    return sorted((change.kind.value, change.object.key.name) for change in changes)


def looked(scan: FolderScan) -> list[tuple[str, str]]:
    """What a write comes to: it is read at the second look that finds it the same."""
    assert told(scan.look()) == []
    return told(scan.look())


def errors(scan: FolderScan) -> list[str]:
    return [str(error) for error in scan.errors]


def test_the_whole_folder_comes_first(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"{pod('a')}---\n{pod('b')}---\n")
    (tmp_path / "c.json").write_text('{"apiVersion": "v1", "kind": "List", "items": []}')
    (tmp_path / "d.yml").write_text(
        f"apiVersion: v1\nkind: List\nitems:\n- {pod('d').strip()}".replace("\n", "\n  ")
        .replace("\n  kind: List", "\nkind: List")
        .replace("\n  items", "\nitems")
        .replace("\n  - ", "\n- ")
    )
    (tmp_path / ".hidden.yaml").write_text(pod("hidden"))
    (tmp_path / "notes.txt").write_text("not ours")
    (tmp_path / "sub.yaml").mkdir()
    scan = FolderScan(tmp_path)
    assert told(scan.look()) == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "d")]
    assert told(scan.look()) == []


def test_files_change_and_go(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"{pod('a')}---\n{pod('b')}")
    scan = FolderScan(tmp_path)
    scan.look()
    scan.look()
    file.write_text(f"{pod('a', '10.0.0.9')}---\n{pod('c')}")
    assert looked(scan) == [("ADDED", "c"), ("DELETED", "b"), ("MODIFIED", "a")]
    file.unlink()
    assert told(scan.look()) == [("DELETED", "a"), ("DELETED", "c")]


def test_a_change_that_does_not_matter_is_none(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(pod("a"))
    scan = FolderScan(tmp_path)
    scan.look()
    file.write_text(pod("a") + "# a comment\n")
    assert looked(scan) == []


def test_a_file_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    scan = FolderScan(tmp_path)
    scan.look()
    text = pod("a")
    for length in range(10, len(text), 20):
        file.write_text(text[:length])
        assert scan.look() == ()
        assert errors(scan) == []
    file.write_text(text)
    assert looked(scan) == [("ADDED", "a")]


def test_a_half_written_file_is_an_error_only_until_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(pod("a")[:40])
    scan = FolderScan(tmp_path)
    assert told(scan.look()) == []
    assert len(errors(scan)) == 1
    scan.look()
    file.write_text(pod("a"))
    assert looked(scan) == [("ADDED", "a")]
    assert errors(scan) == []


def test_the_last_good_objects_of_a_bad_file_stay(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"{pod('a')}---\n{pod('b')}")
    scan = FolderScan(tmp_path)
    scan.look()
    scan.look()
    file.write_text("kind: [")
    assert looked(scan) == []
    [error] = errors(scan)
    assert error.startswith("read a.yaml: parse YAML: ")
    assert "at line 2, column 1" in error
    # one bad object: its last good version stays, its neighbours change
    file.write_text(f"{pod('a', 'nowhere')}---\n{pod('b', '10.0.0.8')}")
    assert looked(scan) == [("MODIFIED", "b")]
    assert errors(scan) == [
        "read a.yaml document 1: Pod default/a: status.podIP: need an IP address, found 'nowhere'"
    ]
    file.write_text(f"{pod('a', '10.0.0.7')}---\n{pod('b', '10.0.0.8')}")
    assert looked(scan) == [("MODIFIED", "a")]
    assert errors(scan) == []


@pytest.mark.parametrize(
    ("text", "error"),
    [
        pytest.param(b"\xff\xfe\xff", "parse YAML: ", id="not text"),
        pytest.param(b"[" * 100_000, "parse YAML: nested deeper than 100 at line 1", id="deep"),
        pytest.param(b"a: 2024-99-99", "parse YAML: ", id="no date"),
        pytest.param(b"- just\n- a list", "need an object, found ['just', 'a list']", id="list"),
        pytest.param(b"? [a]\n: b", "parse YAML: ", id="odd key"),
        pytest.param(
            b"&a {kind: *a}", "parse YAML: alias a contains itself at line 1", id="circle"
        ),
        pytest.param(
            b"kind: 0x" + b"f" * 9000,
            "parse YAML: a number of 9002 characters at line 1",
            id="large number",
        ),
    ],
)
def test_bad_files_are_errors_that_name_them(tmp_path: Path, text: bytes, error: str) -> None:
    (tmp_path / "bad.yaml").write_bytes(text)
    (tmp_path / "good.yaml").write_text(pod("a"))
    scan = FolderScan(tmp_path)
    assert told(scan.look()) == [("ADDED", "a")]
    [found] = errors(scan)
    assert found.startswith(f"read bad.yaml: {error}")


def test_a_problem_with_a_file_tells_since_when(tmp_path: Path) -> None:
    now_ns = [5]
    scan = FolderScan(tmp_path, wall_ns=lambda: now_ns[0])
    (tmp_path / "a.yaml").write_text("kind: [")
    scan.look()
    [first] = scan.problems
    assert (first.about, first.since_ns) == ("file a.yaml", 5)
    assert first.reason.startswith("parse YAML: ")
    now_ns[0] = 9
    (tmp_path / "b.yaml").write_text("kind: {")
    looked(scan)
    assert [(each.about, each.since_ns) for each in scan.problems] == [
        ("file a.yaml", 5),
        ("file b.yaml", 9),
    ]
    (tmp_path / "a.yaml").write_text(pod("a"))
    looked(scan)
    assert [each.about for each in scan.problems] == ["file b.yaml"]


def test_an_object_written_twice_counts_once(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(pod("a", "10.0.0.2"))
    (tmp_path / "a.yaml").write_text(f"{pod('a', '10.0.0.1')}---\n{pod('a', '10.0.0.3')}")
    scan = FolderScan(tmp_path)
    [change] = scan.look()
    assert "10.0.0.1" in str(change.document)
    assert sorted(errors(scan)) == [
        (
            "read a.yaml document 2: Pod default/a: metadata.name: stands already in "
            "a.yaml document 1, which counts"
        ),
        (
            "read b.yaml: Pod default/a: metadata.name: stands already in "
            "a.yaml document 1, which counts"
        ),
    ]
    (tmp_path / "a.yaml").unlink()
    assert told(scan.look()) == [("MODIFIED", "a")]


def test_an_object_may_move_between_files(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(pod("a"))
    scan = FolderScan(tmp_path)
    scan.look()
    scan.look()
    (tmp_path / "a.yaml").rename(tmp_path / "b.yaml")
    # the file under its new name waits for the second look; a new name is a new file
    assert told(scan.look()) == [("DELETED", "a")]
    assert told(scan.look()) == [("ADDED", "a")]


def test_the_file_that_held_an_object_first_counts(tmp_path: Path) -> None:
    mine, other = tmp_path / "m.yaml", tmp_path / "a.yaml"
    mine.write_text(pod("a", "10.0.0.1"))
    scan = FolderScan(tmp_path)
    scan.look()
    scan.look()
    other.write_text(f"{pod('a', '10.0.0.2')}---\n{pod('b', '10.0.0.3')}")
    assert looked(scan) == [("ADDED", "b")]
    problem = (
        "read a.yaml document 1: Pod default/a: metadata.name: stands already in m.yaml, "
        "which counts"
    )
    assert errors(scan) == [problem]
    # neither an edit nor a slip lets go of it
    mine.write_text(pod("a", "10.0.0.9"))
    assert looked(scan) == [("MODIFIED", "a")]
    mine.write_text("kind: [")
    assert looked(scan) == []
    assert problem in errors(scan)
    mine.unlink()
    assert told(scan.look()) == [("MODIFIED", "a")]
    assert errors(scan) == []
    # now the other one has it
    mine.write_text(pod("a", "10.0.0.1"))
    assert looked(scan) == []
    assert errors(scan) == [
        (
            "read m.yaml: Pod default/a: metadata.name: stands already in a.yaml document 1, "
            "which counts"
        )
    ]
    other.write_text(pod("b", "10.0.0.3"))
    assert looked(scan) == [("MODIFIED", "a")]
    assert errors(scan) == []


def test_files_that_cannot_be_read_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "dangling.yaml").symlink_to("nowhere")
    (tmp_path / "folder.yaml").mkdir()
    scan = FolderScan(tmp_path)
    assert scan.look() == ()
    expected = [
        "read dangling.yaml: a link to nothing: nowhere",
        "read folder.yaml: Is a directory",
    ]
    assert errors(scan) == expected
    for _ in range(3):
        assert scan.look() == ()
    assert errors(scan) == expected
    assert caplog.text.count("a link to nothing") == 1
    (tmp_path / "nowhere").write_text(pod("a"))
    assert looked(scan) == [("ADDED", "a")]
    (tmp_path / "nowhere").unlink()
    assert looked(scan) == []  # its last good objects stay
    assert errors(scan) == expected
    (tmp_path / "dangling.yaml").unlink()
    assert told(scan.look()) == [("DELETED", "a")]


async def next_told(batches: AsyncIterator[tuple[Change, ...]]) -> list[tuple[str, str]]:
    return told(await asyncio.wait_for(anext(batches), 20))


async def test_changes_arrive_also_by_rename(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    batches = StateFolder(state, look_interval_s=0.01).changes()
    assert await next_told(batches) == []
    (tmp_path / "a.yaml").write_text(pod("a"))
    os.replace(tmp_path / "a.yaml", state / "a.yaml")
    assert await next_told(batches) == [("ADDED", "a")]
    (tmp_path / "b.yaml").write_text(pod("a", "10.0.0.2"))
    os.replace(tmp_path / "b.yaml", state / "a.yaml")
    assert await next_told(batches) == [("MODIFIED", "a")]
    (state / "a.yaml").unlink()
    assert await next_told(batches) == [("DELETED", "a")]


async def test_a_folder_that_vanishes_keeps_its_last_state(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "a.yaml").write_text(pod("a"))
    folder = StateFolder(state, look_interval_s=0.01)
    batches = folder.changes()
    assert await next_told(batches) == [("ADDED", "a")]
    assert folder.problems() == ()
    state.rename(tmp_path / "away")
    logged = asyncio.Event()
    loop = asyncio.get_running_loop()
    handler = logging.Handler()
    handler.emit = lambda record: loop.call_soon_threadsafe(logged.set)  # type: ignore[method-assign, assignment] # a handler of one line
    logging.getLogger("server.cluster.folder").addHandler(handler)
    async with asyncio.TaskGroup() as group:
        batch = group.create_task(next_told(batches))
        await asyncio.wait_for(logged.wait(), 20)
        assert [each.about for each in folder.problems()] == [f"folder {state}"]
        (tmp_path / "away").rename(state)
        (state / "b.yaml").write_text(pod("b"))
    logging.getLogger("server.cluster.folder").removeHandler(handler)
    assert batch.result() == [("ADDED", "b")]
    assert folder.problems() == ()
    assert caplog.text.count("unreadable") == 1


async def test_a_missing_folder_is_refused_at_start(tmp_path: Path) -> None:
    with pytest.raises(StateFolderError) as refused:
        await anext(StateFolder(tmp_path / "none").changes())
    assert str(refused.value) == f"read state folder: No such file or directory: {tmp_path}/none"
