"""The policies that come with the lab are ones that a server takes."""

from pathlib import Path

import pytest

import lab
from server.cluster.documents import load_documents
from server.cluster.objects import NetworkPolicy

FOLDER = Path(lab.__file__).parent / "scenarios" / "policies"


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.stem)
def test_a_policy_of_the_lab_is_understood(path: Path) -> None:
    loaded, errors = load_documents(path.read_bytes(), file=path.name)
    assert not errors
    [found] = loaded
    assert isinstance(found.object, NetworkPolicy)
    assert found.object.policy.name.name == path.stem
