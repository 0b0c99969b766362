from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab.errors import ObjectError
from lab.objects import read_objects
from lab.session import SCENARIOS

if TYPE_CHECKING:
    from pathlib import Path


def test_reads_a_folder_in_order_of_file_name(tmp_path: Path) -> None:
    (tmp_path / "b.yml").write_text("kind: Pod\nmetadata: {name: two, namespace: shop}\n")
    (tmp_path / "a.yaml").write_text("kind: Node\nmetadata: {name: one}\n---\n---\n")
    (tmp_path / ".c.yaml").write_text("kind: Pod\nmetadata: {name: half-writ")
    (tmp_path / "README").write_text("no YAML: [")

    found = read_objects(tmp_path)

    assert [(one.kind, one.key) for one in found] == [("Node", "one"), ("Pod", "shop/two")]
    assert str(found[1]) == "b.yml: Pod shop/two"


def test_objects_live_in_namespace_default_unless_said(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("kind: Pod\nmetadata: {name: x}\n")

    assert read_objects(file)[0].key == "default/x"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("a: [", r"^a\.yaml: not YAML: ", id="syntax"),
        pytest.param("\x00", r"^a\.yaml: not YAML: ", id="control-character"),
        pytest.param("- 1", r"^a\.yaml: document 1: want a mapping, got \[1\]", id="list"),
        pytest.param("metadata: {name: x}", r"document 1: kind: missing", id="no-kind"),
        pytest.param("---\nkind: Pod", r"document 1: metadata\.name: missing", id="no-name"),
        pytest.param(
            "kind: Pod\nmetadata: {name: x}\n---\nkind: Pod\nmetadata: {name: x}",
            r"^a\.yaml: Pod default/x: defined twice, first in a\.yaml: Pod default/x",
            id="twice",
        ),
    ],
)
def test_refuses_what_is_no_object(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)

    with pytest.raises(ObjectError, match=problem):
        read_objects(file)


def test_names_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ObjectError, match=r"^read .*/nowhere\.yaml: No such file"):
        read_objects(tmp_path / "nowhere.yaml")


def test_every_scenario_can_be_read() -> None:
    for file in SCENARIOS.glob("*.yaml"):
        assert read_objects(file)
