"""What can be typed where: the commands and flags of the tree, flat, for the writers of scripts."""

from collections.abc import Iterator
from dataclasses import dataclass

from cli.flags.scan import flags_of
from cli.flags.table import Command, Flag


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A command, and what may follow it."""

    path: str
    """Words that lead here, `hubble observe flows`."""
    commands: tuple[Command, ...]
    flags: tuple[Flag, ...]
    """Sorted by name."""
    words: tuple[str, ...]
    """Words that it takes besides flags, as far as they are known."""


def places(root: Command) -> list[Place]:
    """List all places, the root first."""
    return list(_places(root, root.name))


def steps(root: Command) -> Iterator[tuple[str, str]]:
    """Yield how words lead from place to place: `hubble observe` by itself, aliases too."""
    for place in places(root):
        for command in place.commands:
            for name in (command.name, *command.aliases):
                yield f"{place.path} {name}", f"{place.path} {command.name}"


def spellings(flag: Flag) -> list[str]:
    """Write a flag in all ways: `--output`, `-o`."""
    return [f"--{flag.name}", *([f"-{flag.short}"] if flag.short else [])]


def summary(flag: Flag) -> str:
    """Say what a flag does, in one line."""
    return flag.help.partition("\n")[0].rstrip(":")


def valued(root: Command) -> list[str]:
    """List the spellings of all flags that take the next word for their value."""
    found = {
        spelling
        for place in places(root)
        for flag in place.flags
        if flag.bare is None
        for spelling in spellings(flag)
    }
    return sorted(found)


def _places(command: Command, path: str) -> Iterator[Place]:
    flags = sorted(flags_of(command).long.values(), key=lambda flag: flag.name)
    children = tuple(child for child in command.children if not child.hidden)
    yield Place(path=path, commands=children, flags=tuple(flags), words=command.choices)
    for child in children:
        yield from _places(child, f"{path} {child.name}")
