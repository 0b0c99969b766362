"""The BPF file system that pins are in: mounted once, however many servers start at a time."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.namespaces import unmount
from observer.kernel import pins

pytestmark = pytest.mark.kernel
AT_ONCE = 8


@pytest.fixture
def bpffs(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "bpf"
    yield path
    while path.is_mount():
        unmount(path)


def mounts(path: Path) -> int:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return sum(line.split(" ")[4] == str(path) for line in lines)


def test_servers_of_several_nodes_may_start_at_once(bpffs: Path) -> None:
    together = threading.Barrier(AT_ONCE)

    def take(number: int) -> None:
        together.wait()
        pins.take(node=f"n{number}", bpffs=bpffs).release()

    threads = [threading.Thread(target=take, args=(number,)) for number in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert mounts(bpffs) == 1
    assert len(list((bpffs / "leavitt").iterdir())) == AT_ONCE
