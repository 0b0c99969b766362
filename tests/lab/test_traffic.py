from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.namespaces import inside
from lab.processes import members
from lab.session import open_lab, scenario
from lab.traffic import empire_errands

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.session import Lab


@pytest.fixture(scope="module")
def empire(run_id: str) -> Iterator[Lab]:
    with open_lab(scenario("empire"), run="e" + run_id[1:], plain=True) as lab:
        yield lab


@pytest.mark.e2e
def test_in_a_plain_lab_every_errand_ends_as_it_should(empire: Lab) -> None:
    """Nothing is denied there, so only the planet that is gone cannot be found."""
    for errand in empire_errands(empire):
        done = empire.execute(errand.pod, errand.command)
        expected = 2 if "alderaan" in " ".join(errand.command) else 0
        assert done.returncode == expected, (errand, done.stdout, done.stderr)


@pytest.mark.e2e
def test_a_fresh_lab_has_sent_nothing_to_its_programs(run_id: str) -> None:
    """Waiting for readiness makes no connection, so that a lab shows no flows but its own."""
    with open_lab(scenario("empire"), run="f" + run_id[1:], plain=True) as lab:
        for pod in lab.topology.pods:
            with inside(pod.netns):
                counters = Path("/proc/thread-self/net/snmp").read_text().splitlines()
            tcp = [line.split() for line in counters if line.startswith("Tcp:")]
            passive_opens = dict(zip(*tcp, strict=True))["PassiveOpens"]
            assert passive_opens == "0", pod.key


@pytest.mark.e2e
def test_traffic_ends_on_sigterm_and_leaves_no_command(empire: Lab) -> None:
    program = Path(sys.executable).with_name("hubble-lab")
    before = {process.pid for process in members(empire.topology.netns_names)}
    with subprocess.Popen(
        [program, "traffic", "--run", empire.run.name], stdout=subprocess.PIPE
    ) as traffic:
        assert traffic.stdout is not None
        assert traffic.stdout.readline().startswith(b"Making traffic")
        traffic.terminate()
        assert traffic.wait(10) == 0
    assert {process.pid for process in members(empire.topology.netns_names)} == before
