"""Lists of node names, which are cut to a readable length."""

import pytest

from cli.printers.events import shortened


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b"], "a, b"),
        (["n" * 80], "n" * 80),
        (["n" * 80, "m"], "n" * 80 + " (and 1 more)"),
        (["a" * 24, "b" * 24, "c"], "a" * 24 + ", " + "b" * 24 + " (and 1 more)"),
        (["a" * 24, "b" * 25, "c"], "a" * 24 + " (and 2 more)"),
    ],
)
def test_shortened(names: list[str], text: str) -> None:
    assert shortened(names) == text
