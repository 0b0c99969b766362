"""One bed for all tests of this folder, one box a module; each test finds them as after start."""

from collections.abc import Iterator

import pytest

from observer.kernel.datapath import Attach
from tests.kernel.bed import Bed, make_bed
from tests.kernel.bridge import Box, Watch, make_box, watching
from tests.kernel.namespaces import remove_leftovers


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


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    remove_leftovers()
    with make_box() as box:
        yield box


@pytest.fixture(scope="module")
def loaded(box: Box) -> Iterator[Watch]:
    with watching(box) as watch:
        yield watch


@pytest.fixture
def watch(loaded: Watch) -> Watch:
    loaded.reset()
    return loaded


@pytest.fixture(scope="module")
def loaded_by_clsact(box: Box) -> Iterator[Watch]:
    with watching(box, name="c", attach=Attach.CLSACT) as watch:
        yield watch


@pytest.fixture(params=["tcx", "clsact"])
def either_watch(request: pytest.FixtureRequest) -> Iterator[Watch]:
    """As `watch`, attached in both ways."""
    name = {"tcx": "loaded", "clsact": "loaded_by_clsact"}[request.param]
    found: Watch = request.getfixturevalue(name)
    found.reset()
    yield found
    found.reset()
