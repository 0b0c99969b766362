"""The script for fish: a function that says where we are, and a `complete` line a flag."""

from collections.abc import Iterator

from cli.completion.outline import Place, places, steps, summary, valued
from cli.flags.table import Command, Flag

_SCRIPT = """\
# fish completion for hubble. Try it:  hubble completion fish | source
# Keep it:  hubble completion fish > ~/.config/fish/completions/hubble.fish

function __hubble_place
    set -l place hubble
    set -l skip 0
    set -l typed (commandline -opc)
    for word in $typed[2..-1]
        if test $skip = 1
            set skip 0
            continue
        end
        switch $word
            case {valued}
                set skip 1
            case '-*'
            case '*'
                switch "$place $word"
{steps}
                end
        end
    end
    echo $place
end

function __hubble_at
    test (__hubble_place) = "$argv"
end

complete -c hubble -f
{lines}
"""


def fish_script(root: Command) -> str:
    """Write the script."""
    led = (
        f"{' ' * 20}case {_quoted(key)}\n{' ' * 24}set place {_quoted(place)}"
        for key, place in steps(root)
    )
    return _SCRIPT.format(
        valued=" ".join(map(_quoted, valued(root))),
        steps="\n".join(led),
        lines="\n".join(line for place in places(root) for line in _lines(place)),
    )


def _lines(place: Place) -> Iterator[str]:
    head = f"complete -c hubble -n {_quoted(f'__hubble_at {place.path}')}"
    for command in place.commands:
        yield f"{head} -a {_quoted(command.name)} -d {_quoted(command.summary)}"
    if place.words:
        yield f"{head} -a {_quoted(' '.join(place.words))}"
    for flag in place.flags:
        short = f" -s {flag.short}" if flag.short else ""
        yield f"{head} -l {flag.name}{short}{_value(flag)} -d {_quoted(summary(flag))}"


def _value(flag: Flag) -> str:
    """Say what follows a flag: nothing, a file, one of some words, something."""
    if flag.bare is not None:
        return ""
    if flag.is_file:
        return " -r -F"
    return f" -x -a {_quoted(' '.join(flag.choices))}" if flag.choices else " -x"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
