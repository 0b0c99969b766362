"""One bed for all tests of this folder; each test finds it as after start."""

from collections.abc import Iterator

import pytest

from observer.kernel.datapath import Attach
from tests.kernel.bed import Bed, make_bed, remove_leftovers


@pytest.fixture(scope="session")
def shared_bed() -> Iterator[Bed]:
    remove_leftovers()
    with make_bed() as bed:
        yield bed


@pytest.fixture(scope="session")
def clsact_bed() -> Iterator[Bed]:
    """The same, attached as on kernels without tcx."""
    remove_leftovers()
    with make_bed(attach=Attach.CLSACT, suffix="c") as bed:
        yield bed


@pytest.fixture
def bed(shared_bed: Bed) -> Bed:
    shared_bed.reset()
    return shared_bed
