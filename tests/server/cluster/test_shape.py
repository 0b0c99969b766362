"""Shapes of YAML that are refused before anything is made of them."""

import pytest
import yaml

from server.cluster.shape import DEEPEST_NESTING, MOST_REPEATED, check_shape


def check(text: str) -> None:
    check_shape(yaml.parse(text))


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


def test_nesting_is_bounded() -> None:
    check(f"{deep(DEEPEST_NESTING)}\n---\n{deep(DEEPEST_NESTING)}")
    with pytest.raises(yaml.YAMLError, match=f"nested deeper than {DEEPEST_NESTING} .*line 1"):
        check(deep(DEEPEST_NESTING + 1))


def test_aliases_may_stand_for_so_many_values_in_all() -> None:
    thousand = "[" + "x," * 999 + "]"  # and itself
    uses = MOST_REPEATED // 1000
    check(f"a: &a {thousand}\nb: [{'*a,' * uses}]")
    with pytest.raises(yaml.YAMLError, match=f"more than {MOST_REPEATED} values"):
        check(f"a: &a {thousand}\nb: [{'*a,' * (uses + 1)}]")


def test_aliases_of_aliases_are_multiplied() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 6)]
    check("\n".join(lines[:4]))
    with pytest.raises(yaml.YAMLError, match="aliases stand for more"):
        check("\n".join(lines))


@pytest.mark.parametrize("text", ["&a [*a]", "&a {b: [1, {c: *a}]}", "x: &a {? *a : 1}"])
def test_a_value_cannot_contain_itself(text: str) -> None:
    with pytest.raises(yaml.YAMLError, match="alias a contains itself"):
        check(text)


@pytest.mark.parametrize("start", ["1", "-0x", "0b", "0o", "1:2:"])
def test_numbers_have_a_length(start: str) -> None:
    check(f"{start}{'1' * 900}\n---\n{'word' * 1000}")
    with pytest.raises(yaml.YAMLError, match=r"a number of 1\d{3} characters .*line 1"):
        check(start + "1" * 1000)


def test_an_unknown_alias_is_left_to_the_loader() -> None:
    check("*a")
