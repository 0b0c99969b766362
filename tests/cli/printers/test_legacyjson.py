"""HUBBLE_COMPAT=legacy-json-output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli.app import run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Screen

LINES = """\
{"flow":{"Summary":"x"},"node_name":"n"}
{"lost_events":{"num_events_lost":"5"},"node_name":"n"}
{"node_status":{"state_change":"NODE_ERROR","node_names":["a"]},"node_name":"n"}
"""
BARE = '{"Summary":"x"}\n{"num_events_lost":"5"}\n'


@pytest.mark.parametrize(
    ("compat", "output", "bare"),
    [
        ("legacy-json-output", "json", True),
        ("x, Legacy-JSON-Output", "JSON", True),
        ("legacy-json-output", "jsonpb", False),
        ("legacy-json", "json", False),
        ("", "json", False),
    ],
)
def test_bare_objects(compat: str, output: str, bare: bool, screen: Screen, tmp_path: Path) -> None:
    path = tmp_path / "flows.jsonl"
    path.write_text(LINES)
    line = ["observe", "--input-file", str(path), "-o", output]
    assert run(line, screen.surroundings({"HUBBLE_COMPAT": compat})) == 0
    assert screen.out == (BARE if bare else "".join(LINES.splitlines(keepends=True)[:2]))
    assert bool(screen.err) is not bare


def test_is_not_compatible_with_masks(screen: Screen) -> None:
    line = ["observe", "-o", "json", "--field-mask", "time"]
    environ = {"HUBBLE_COMPAT": "legacy-json-output"}
    assert run(line, screen.surroundings(environ)) == 1
    assert screen.err == "json output format is not compatible with custom field mask\n"
