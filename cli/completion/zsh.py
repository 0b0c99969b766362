"""The script for zsh: the same questions as in bash, with what each answer means beside it."""

import shlex
from collections.abc import Iterable, Iterator

from cli.completion.outline import Place, places, spellings, steps, summary, valued
from cli.flags.table import Command

_SCRIPT = """\
#compdef hubble
# zsh completion for hubble. Try it:  source <(hubble completion zsh)
# Keep it:  hubble completion zsh > "${{fpath[1]}}/_hubble"

_hubble() {{
    local place=hubble word previous=${{words[CURRENT-1]}} index
    local -a answers
    for ((index = 2; index < CURRENT; index++)); do
        word=${{words[index]}}
        case $word in
            ({valued}) ((index++)) ;;
            (-*) ;;
            (*) case "$place $word" in
{steps}
            esac ;;
        esac
    done
    if [[ $PREFIX == --*=* ]]; then
        previous=${{PREFIX%%=*}}
        compset -P '*='
    fi
    case "$place $previous" in
{values}
    esac
    case $previous in
        ({valued}) return 1 ;;
    esac
    if [[ $PREFIX == -* ]]; then
        case $place in
{flags}
        esac
    else
        case $place in
{words}
        esac
    fi
    _describe hubble answers
}}

if [[ $funcstack[1] == _hubble ]]; then
    _hubble "$@"
else
    compdef _hubble hubble
fi
"""


def zsh_script(root: Command) -> str:
    """Write the script."""
    led = (f"({shlex.quote(key)}) place={shlex.quote(place)} ;;" for key, place in steps(root))
    return _SCRIPT.format(
        valued="|".join(valued(root)),
        steps=_lines(20, led),
        values=_lines(8, (line for place in places(root) for line in _values(place))),
        flags=_lines(12, map(_flags, places(root))),
        words=_lines(12, map(_words, places(root))),
    )


def _values(place: Place) -> Iterator[str]:
    for flag in place.flags:
        patterns = "|".join(shlex.quote(f"{place.path} {each}") for each in spellings(flag))
        if flag.is_file:
            yield f"({patterns}) _files; return ;;"
        elif flag.choices:
            listed = " ".join(map(shlex.quote, flag.choices))
            yield f"({patterns}) compadd -- {listed}; return ;;"


def _flags(place: Place) -> str:
    return _answers(
        place,
        (_meant(each, summary(flag)) for flag in place.flags for each in spellings(flag)),
    )


def _words(place: Place) -> str:
    commands = (_meant(command.name, command.summary) for command in place.commands)
    return _answers(place, (*commands, *place.words))


def _answers(place: Place, words: Iterable[str]) -> str:
    return f"({shlex.quote(place.path)}) answers=({' '.join(map(shlex.quote, words))}) ;;"


def _meant(word: str, meaning: str) -> str:
    # A colon parts the word from its meaning.
    return f"{word}:{meaning}"


def _lines(indent: int, lines: Iterable[str]) -> str:
    return "\n".join(" " * indent + line for line in lines)
