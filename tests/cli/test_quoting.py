"""Values in messages."""

import pytest

from cli.quoting import quoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", '""'),
        ("a b", '"a b"'),
        ('"\\', '"\\"\\\\"'),
        ("\n\t\r", '"\\n\\t\\r"'),
        ("\x1b[31m", '"\\x1b[31m"'),
        ("é🐝", '"é🐝"'),
        ("\u2028\U000e0001", '"\\u2028\\U000e0001"'),
        (b"\xff".decode("utf-8", "surrogateescape"), '"\\xff"'),
    ],
)
def test_quoted(text: str, shown: str) -> None:
    assert quoted(text) == shown
