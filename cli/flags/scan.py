"""Words of a command line into flags and their texts, in the order they were typed.

    --name value   --name=value   -x value   -xvalue   -x=value   -abx value   --   word

The order matters (`--not` turns the next filter round), a value may begin with a dash
(`--since -5m`), flags and words may mix, and each message is known to scripts. argparse gives
none of the four, so this page does it. Scanning is lazy: a bad value is reported before a
mistake that stands after it.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from cli.errors import UsageError
from cli.flags.table import HELP_FLAG, Command, Flag


class Given(NamedTuple):
    """A flag as it was written, with its text."""

    flag: Flag
    text: str


class Names:
    """Flags by long and by short name."""

    def __init__(self, flags: Iterable[Flag]) -> None:
        """Index flags; names are unique within one command."""
        self.long = {flag.name: flag for flag in flags}
        self.short = {flag.short: flag for flag in self.long.values() if flag.short}

    def takes_next(self, word: str) -> bool:
        """Tell whether the word after this flag is its value; of an unknown flag, too."""
        if word.startswith("--"):
            flag = self.long.get(word[2:])
            return "=" not in word and (flag is None or flag.bare is None)
        flag = self.short.get(word[1:])
        return len(word) == 2 and (flag is None or flag.bare is None)


def find_command(root: Command, words: Sequence[str]) -> tuple[Command, tuple[str, ...], list[str]]:
    """Follow the words to a command.

    Returns:
        The command, the names that lead to it from the root, and the other words.
    """
    path: tuple[str, ...] = (root.name,)
    command, rest = root, list(words)
    while (index := _first_plain(command, rest)) is not None:
        child = command.child(rest[index])
        if child is None:
            break
        command, path = child, (*path, child.name)
        del rest[index]
    return command, path, rest


def flags_of(command: Command) -> Names:
    """Index all flags that a command takes."""
    return Names([HELP_FLAG, *(flag for flag_set in command.sets() for flag in flag_set.flags)])


def scan(words: Sequence[str], names: Names) -> Iterator[Given | str]:
    """Yield flags with their texts, and plain words, as they stand; raises UsageError."""
    queue = list(reversed(words))
    while queue:
        word = queue.pop()
        if word == "--":
            yield from reversed(queue)
            return
        if word.startswith("--"):
            yield _long(word, queue, names)
        elif word.startswith("-") and len(word) > 1:
            yield from _short(word, queue, names)
        else:
            yield word


def _long(word: str, queue: list[str], names: Names) -> Given:
    name, equals, text = word[2:].partition("=")
    if not name or name[0] == "-":
        raise UsageError(f"bad flag syntax: {word}")
    flag = names.long.get(name)
    if flag is None:
        raise UsageError(f"unknown flag: --{name}")
    if equals:
        return Given(flag, text)
    if flag.bare is not None:
        return Given(flag, flag.bare)
    if not queue:
        raise UsageError(f"flag needs an argument: --{name}")
    return Given(flag, queue.pop())


def _short(word: str, queue: list[str], names: Names) -> Iterator[Given]:
    letters = word[1:]
    while letters:
        letter, rest = letters[0], letters[1:]
        flag = names.short.get(letter)
        if flag is None:
            raise UsageError(f"unknown shorthand flag: '{letter}' in -{letters}")
        if rest.startswith("=") and len(rest) > 1:
            yield Given(flag, rest[1:])
            return
        if flag.bare is not None:
            yield Given(flag, flag.bare)
            letters = rest
            continue
        if not rest and not queue:
            raise UsageError(f"flag needs an argument: '{letter}' in -{letters}")
        yield Given(flag, rest or queue.pop())
        return


def _first_plain(command: Command, words: Sequence[str]) -> int | None:
    """Index of the first word that is neither a flag nor the value of one."""
    names, skip = flags_of(command), False
    for index, word in enumerate(words):
        if skip:
            skip = False
        elif word == "--":
            return None
        elif word.startswith("-") and len(word) > 1:
            skip = names.takes_next(word)
        else:
            return index
    return None
