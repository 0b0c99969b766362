import os
import subprocess
import sys

import pytest
from pyroute2 import netns

from bench.leftovers import NODE, PODS, remove_leftovers

pytestmark = pytest.mark.kernel


def dead_process() -> int:
    """The id of a process that is no more."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def test_namespaces_of_the_dead_go_and_those_of_the_living_stay() -> None:
    owner = dead_process()
    left = [f"{NODE}{owner}", f"{PODS}{owner}n-1"]
    mine = [f"{NODE}{os.getpid()}", f"lvother{owner}"]
    try:
        for name in left + mine:
            netns.create(name)
        remove_leftovers()
        there = set(netns.listnetns())
        assert not there & set(left)
        assert there >= set(mine)
    finally:
        for name in {*left, *mine} & set(netns.listnetns()):
            netns.remove(name)
