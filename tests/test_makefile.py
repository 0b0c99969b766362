"""What variables of the Makefile turn into; nothing is run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("variables", "tls"),
    [([], False), (["TLS="], False), (["TLS=0"], False), (["TLS=1"], True)],
)
def test_tls_of_the_demo(variables: list[str], tls: bool) -> None:
    command = ["make", "--dry-run", "--directory", str(ROOT), "demo", *variables]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (line,) = (line for line in shown.splitlines() if "hubble-lab demo" in line)
    assert ("--tls" in line) == tls
