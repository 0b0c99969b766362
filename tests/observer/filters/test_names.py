"""Name patterns, against regular expressions and case by case."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observer.filters.names import NamePattern, NodePattern

LETTERS = "ab_.-9A/"


@given(
    pattern=st.text("ab_*", min_size=1, max_size=8),
    name=st.text(LETTERS, max_size=10),
)
def test_patterns_match_what_the_regular_expression_would(pattern: str, name: str) -> None:
    regexp = pattern.replace("*", "[-.0-9a-z]*")
    assert NamePattern.parse(pattern).matches(name) == bool(re.fullmatch(regexp, name))


def test_a_pattern_made_to_backtrack_is_answered_at_once() -> None:
    assert not NamePattern.parse("*a" * 2000 + "*b").matches("a" * 5000)


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("cilium.io", "cilium.io", True),
        ("cilium.io", "ciliumxio", False),
        ("*.cilium.io", "cilium.io", False),
        ("*.cilium.io", "a.b.cilium.io", True),
        ("*", "a_b", False),
        ("a*a", "a", False),
        (" CILIUM.io. ", "cilium.io", True),
    ],
)
def test_names(pattern: str, name: str, matches: bool) -> None:
    assert NamePattern.parse(pattern).matches(name) is matches


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("node-1", "default/node-1", True),
        ("node-1", "other/node-1", True),
        ("node-1", "node-1", True),
        ("default/", "node-1", True),
        ("other/", "node-1", False),
        ("other/node-*", "other/node-1", True),
        ("/", "a/b", True),
        ("/", "a/b/c", False),
        ("*", "a/b_c", False),
        ("/", "a/b_c", True),
        ("/", "A/b", False),
    ],
)
def test_nodes(pattern: str, name: str, matches: bool) -> None:
    assert NodePattern.parse(pattern).matches(name) is matches
