"""The script for bash: one function, with a `case` for each question.

where are we      walk over the words, skip flags and their values
value of a flag   its choices, or files
-x, --x           the flags of the place
else              its commands, or the words that it takes
"""

import shlex
from collections.abc import Iterable, Iterator

from cli.completion.outline import Place, places, spellings, steps, valued
from cli.flags.table import Command

_SCRIPT = """\
# bash completion for hubble. Try it:  source <(hubble completion bash)
# Keep it:  hubble completion bash > /etc/bash_completion.d/hubble

_hubble() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}
    local place=hubble word index
    # The equals sign of --flag=value is a word of its own.
    [[ $current == = ]] && current=
    [[ $previous == = ]] && previous=${{COMP_WORDS[COMP_CWORD-2]}}
    for ((index = 1; index < COMP_CWORD; index++)); do
        word=${{COMP_WORDS[index]}}
        case $word in
            {valued}) ((index++)) ; [[ ${{COMP_WORDS[index]}} == = ]] && ((index++)) ;;
            -*|=) ;;
            *) case "$place $word" in
{steps}
            esac ;;
        esac
    done
    COMPREPLY=()
    case "$place $previous" in
{values}
    esac
    case $previous in
        {valued}) return ;;
    esac
    case "$place" in
{words}
    esac
}}

complete -F _hubble hubble
"""
# Only within a completion there is something to set the option of.
_FILES = 'compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$current")'


def bash_script(root: Command) -> str:
    """Write the script."""
    return _SCRIPT.format(
        valued="|".join(valued(root)),
        steps=_lines(
            20, (f"{_quoted(key)}) place={_quoted(place)} ;;" for key, place in steps(root))
        ),
        values=_lines(8, (line for place in places(root) for line in _values(place))),
        words=_lines(8, map(_words, places(root))),
    )


def _values(place: Place) -> Iterator[str]:
    for flag in place.flags:
        patterns = "|".join(_quoted(f"{place.path} {each}") for each in spellings(flag))
        if flag.is_file:
            yield f"{patterns}) {_FILES}; return ;;"
        elif flag.choices:
            yield f"{patterns}) {_reply(flag.choices)}; return ;;"


def _words(place: Place) -> str:
    flags = [spelling for flag in place.flags for spelling in spellings(flag)]
    plain = [*(command.name for command in place.commands), *place.words]
    answer = f"if [[ $current == -* ]]; then {_reply(flags)}; else {_reply(plain)}; fi"
    return f"{_quoted(place.path)}) {answer} ;;"


def _reply(words: Iterable[str]) -> str:
    listed = shlex.quote(" ".join(words))
    return f'mapfile -t COMPREPLY < <(compgen -W {listed} -- "$current")'


def _lines(indent: int, lines: Iterable[str]) -> str:
    return "\n".join(" " * indent + line for line in lines)


def _quoted(text: str) -> str:
    return shlex.quote(text)
