"""Words into flags and values, with every way of writing them."""

import pytest

from cli.commands.tree import FLOWS, ROOT
from cli.errors import UsageError
from cli.flags.scan import find_command, flags_of, scan

NAMES = flags_of(FLOWS)


def scanned(*words: str) -> list[object]:
    return [
        each if isinstance(each, str) else (each.flag.name, each.text)
        for each in scan(words, NAMES)
    ]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--last", "5"], [("last", "5")]),
        (["--last=5"], [("last", "5")]),
        (["--label=a=b"], [("label", "a=b")]),
        (["--label="], [("label", "")]),
        (["--since", "-5m"], [("since", "-5m")]),
        (["--server", "--not"], [("server", "--not")]),
        (["-n", "x"], [("namespace", "x")]),
        (["-nx"], [("namespace", "x")]),
        (["-n=x"], [("namespace", "x")]),
        (["-fn", "x"], [("follow", "true"), ("namespace", "x")]),
        (["-fAox"], [("follow", "true"), ("all-namespaces", "true"), ("output", "x")]),
        (["-f=false"], [("follow", "false")]),
        (["-A", "x"], [("all-namespaces", "true"), "x"]),
        (["--not", "--pod", "x"], [("not", "true"), ("pod", "x")]),
        (["a", "--all", "b"], ["a", ("all", "true"), "b"]),
        (["--all", "--", "--last", "-x"], [("all", "true"), "--last", "-x"]),
        (["-"], ["-"]),
    ],
)
def test_finds_flags_in_order(words: list[str], found: list[object]) -> None:
    assert scanned(*words) == found


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--bogus"], "unknown flag: --bogus"),
        (["--bogus=1"], "unknown flag: --bogus"),
        (["-X"], "unknown shorthand flag: 'X' in -X"),
        (["-fX"], "unknown shorthand flag: 'X' in -X"),
        (["-f="], "unknown shorthand flag: '=' in -="),
        (["--last"], "flag needs an argument: --last"),
        (["-fo"], "flag needs an argument: 'o' in -o"),
        (["---x"], "bad flag syntax: ---x"),
        (["--=x"], "bad flag syntax: --=x"),
    ],
)
def test_names_the_mistake(words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        scanned(*words)
    assert str(caught.value) == message


def test_what_stands_before_a_mistake_is_seen_first() -> None:
    words = scan(["--last", "5", "--bogus"], NAMES)
    assert next(words) == (NAMES.long["last"], "5")
    with pytest.raises(UsageError):
        next(words)


@pytest.mark.parametrize(
    ("words", "path", "rest"),
    [
        ([], ("hubble",), []),
        (["version"], ("hubble", "version"), []),
        (["-D", "version"], ("hubble", "version"), ["-D"]),
        (["observe", "--last", "flows"], ("hubble", "observe"), ["--last", "flows"]),
        (["observe", "--last", "5", "flows"], ("hubble", "observe", "flows"), ["--last", "5"]),
        (["observe", "flows", "x"], ("hubble", "observe", "flows"), ["x"]),
        (["list", "node"], ("hubble", "list", "nodes"), []),
        (["list", "bogus"], ("hubble", "list"), ["bogus"]),
        (["--bogus", "observe"], ("hubble",), ["--bogus", "observe"]),
        (["--", "observe"], ("hubble",), ["--", "observe"]),
    ],
)
def test_finds_the_command(words: list[str], path: tuple[str, ...], rest: list[str]) -> None:
    _, found, others = find_command(ROOT, words)
    assert (found, others) == (path, rest)


def test_flag_names_and_letters_are_unique() -> None:
    for sets in (FLOWS.sets(), ROOT.sets()):
        flags = [flag for each in sets for flag in each.flags]
        assert len({flag.name for flag in flags}) == len(flags)
        letters = [flag.short for flag in flags if flag.short]
        assert len(set(letters)) == len(letters)
