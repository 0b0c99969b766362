"""Help pages, written from the tables of commands and flags.

Flags of a set stand below each other, sorted by name; what they take and their default come from
the row.
"""

from cli.flags.table import HELP_FLAG, Command, Flag, FlagSet
from cli.quoting import quoted

_KIND_WORDS = {
    "bool": "",
    "strings": "list",
    "array": "JSON",
    "uint16": "uint",
}
_NEAR = 2


def help_page(command: Command, path: tuple[str, ...]) -> str:
    """Write the help of a command that is called by `path`."""
    words = " ".join(path)
    parts = [command.help, _usage(command, words)]
    if command.aliases:
        parts.append(f"Aliases:\n  {', '.join((command.name, *command.aliases))}")
    if command.examples:
        parts.append("Examples:\n" + _indented(command.examples, "  "))
    if any(not child.hidden for child in command.children):
        parts.append(_children(command))
    parts.extend(f"{each.title} Flags:\n{_flags(each)}" for each in command.sets())
    help_set = FlagSet(title="Help", flags=(HELP_FLAG,))
    parts.append(f"Get help:\n{_flags(help_set)}")
    if command.children:
        parts.append(f'Use "{words} [command] --help" for more about a command.')
    return "\n\n".join(parts) + "\n"


def unknown_command(root: Command, word: str) -> str:
    """Say that there is no such command, and which may have been meant."""
    text = f"unknown command {quoted(word)} for {quoted(root.name)}"
    near = [
        child.name
        for child in root.children
        if not child.hidden
        if _distance(word, child.name) <= _NEAR or child.name.startswith(word.lower())
    ]
    if not near:
        return text
    return f"{text}\n\nDid you mean this?\n" + "".join(f"\t{name}\n" for name in near)


def _usage(command: Command, words: str) -> str:
    lines = ["Usage:"]
    if command.run:
        lines.append(f"  {words}{' ' if command.words else ''}{command.words} [flags]")
    if command.children:
        lines.append(f"  {words} [command]")
    return "\n".join(lines)


def _children(command: Command) -> str:
    shown = [child for child in command.children if not child.hidden]
    width = max(len(child.name) for child in shown)
    lines = [f"  {child.name:<{width}}  {child.summary}" for child in shown]
    return "Available Commands:\n" + "\n".join(lines)


def _flags(flag_set: FlagSet) -> str:
    flags = sorted(flag_set.flags, key=lambda flag: flag.name)
    heads = [_head(flag) for flag in flags]
    width = max(map(len, heads)) + 3
    lines = []
    for flag, head in zip(flags, heads, strict=True):
        text = flag.help + _default(flag)
        lines.append(_indented(text, " " * width).replace(" " * len(head), head, 1))
    return "\n".join(lines)


def _head(flag: Flag) -> str:
    short = f"-{flag.short}, " if flag.short else "    "
    word = _KIND_WORDS.get(flag.kind, flag.kind)
    if flag.kind == "filter":
        word = "" if flag.bare is not None else "filter"
    return f"  {short}--{flag.name}{' ' if word else ''}{word}"


def _default(flag: Flag) -> str:
    if not flag.default:
        return ""
    return f" (default {quoted(flag.default) if flag.kind == 'string' else flag.default})"


def _indented(text: str, indent: str) -> str:
    return "\n".join(f"{indent}{line}".rstrip() for line in text.split("\n"))


def _distance(one: str, other: str) -> int:
    """Count the letters to change, add or take away to get from one word to the other."""
    row = list(range(len(other) + 1))
    for index, letter in enumerate(one.lower(), 1):
        previous, row[0] = row[0], index
        for column, goal in enumerate(other.lower(), 1):
            changed = previous + (letter != goal)
            previous, row[column] = row[column], min(changed, row[column] + 1, row[column - 1] + 1)
    return row[-1]
