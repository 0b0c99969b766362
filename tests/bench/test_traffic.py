import os
from pathlib import Path

import pytest

from bench.errors import WrongAnswerError
from bench.pods import Pair, bridged, routed
from bench.traffic import Generator, Mode

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for namespaces"),
]


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    cpu = min(os.sched_getaffinity(0))
    return Generator.compiled(tmp_path_factory.mktemp("traffic"), cpu=cpu)


def name(letter: str) -> str:
    return f"lvdp{os.getpid()}t{letter}"


def namespaces() -> list[str]:
    return [path.name for path in Path("/run/netns").glob(name("*"))]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("mode", list(Mode))
def test_traffic_passes_a_bridge(generator: Generator, mode: Mode, version: int) -> None:
    with bridged(name("b")) as pair:
        assert generator.per_second(mode, pair, version=version, seconds=0.02) > 0
    assert namespaces() == []


def test_fills_with_connections(generator: Generator) -> None:
    with bridged(name("b")) as pair:
        generator.fill(pair, version=4, connections=300)


def test_routed_pods_reach_each_other_through_their_node(generator: Generator) -> None:
    with routed(name("r")) as pair:
        for version in (4, 6):
            assert generator.per_second(Mode.TCP, pair, version=version, seconds=0.02) > 0


def _fail_with(pair: Pair) -> None:
    assert pair.server.ifindex > 0
    raise WrongAnswerError("as when traffic does not pass")


def test_nothing_is_left_after_a_failure() -> None:
    with pytest.raises(WrongAnswerError), routed(name("f")) as pair:
        _fail_with(pair)
    assert namespaces() == []


def test_a_failed_run_is_told(generator: Generator) -> None:
    failing = Generator(program=Path("/bin/false"), cpu=generator.cpu)
    with (
        bridged(name("s")) as pair,
        pytest.raises(WrongAnswerError, match=r"run udp to 10\.9\.0\.3"),
    ):
        failing.per_second(Mode.UDP, pair, version=4, seconds=0.02)
