"""The script for PowerShell: tables of steps, values and answers, and a block that reads them."""

from collections.abc import Iterable, Iterator

from cli.completion.outline import Place, places, spellings, steps, summary, valued
from cli.flags.table import Command

_SCRIPT = """\
# PowerShell completion for hubble. Try it:
#   hubble completion powershell | Out-String | Invoke-Expression
# Keep it: write the same line into the file that $PROFILE names.

Register-ArgumentCompleter -Native -CommandName hubble -ScriptBlock {{
    param($current, $line, $cursor)
    # Case matters: -A and -a are different flags.
    $valued = [System.Collections.Generic.HashSet[string]]::new([string[]]@({valued}))
    $steps = [System.Collections.Generic.Dictionary[string, string]]::new()
{steps}
    $values = [System.Collections.Generic.Dictionary[string, string[]]]::new()
{values}
    $answers = [System.Collections.Generic.Dictionary[string, string[][]]]::new()
{answers}
    $place = 'hubble'
    $previous = ''
    $typed = @($line.CommandElements | Where-Object {{ $_.Extent.EndOffset -lt $cursor }})
    foreach ($element in $typed | Select-Object -Skip 1) {{
        $word = $element.Extent.Text
        if (-not $valued.Contains($previous) -and $steps.ContainsKey("$place $word")) {{
            $place = $steps["$place $word"]
        }}
        # The value of a flag is no flag, whatever it looks like.
        $previous = if ($valued.Contains($previous)) {{ '' }} else {{ $word }}
    }}
    if ($valued.Contains($previous)) {{
        if ($values.ContainsKey("$place $previous")) {{
            $listed = $values["$place $previous"] | Where-Object {{ $_ -like "$current*" }}
            $listed | ForEach-Object {{ [System.Management.Automation.CompletionResult]::new($_) }}
        }}
        return
    }}
    $kind = if ($current.StartsWith('-')) {{ 'flags' }} else {{ 'words' }}
    $answers["$place $kind"] | Where-Object {{ $_[0] -clike "$current*" }} | ForEach-Object {{
        [System.Management.Automation.CompletionResult]::new($_[0], $_[0], 'ParameterValue', $_[1])
    }}
}}
"""


def powershell_script(root: Command) -> str:
    """Write the script; values that are files are left to the shell."""
    return _SCRIPT.format(
        valued=_list(valued(root)),
        steps=_lines(f"$steps[{_quoted(key)}] = {_quoted(to)}" for key, to in steps(root)),
        values=_lines(line for place in places(root) for line in _values(place)),
        answers=_lines(line for place in places(root) for line in _answers(place)),
    )


def _values(place: Place) -> Iterator[str]:
    for flag in place.flags:
        if flag.choices:
            for each in spellings(flag):
                yield f"$values[{_quoted(f'{place.path} {each}')}] = @({_list(flag.choices)})"


def _answers(place: Place) -> Iterator[str]:
    flags = [(each, summary(flag)) for flag in place.flags for each in spellings(flag)]
    commands = [(command.name, command.summary) for command in place.commands]
    words = [(word, word) for word in place.words]
    for kind, pairs in (("flags", flags), ("words", commands + words)):
        listed = ", ".join(f"@({_quoted(word)}, {_quoted(meaning)})" for word, meaning in pairs)
        # The comma keeps a list of one pair a list of pairs.
        comma = "," if len(pairs) == 1 else ""
        yield f"$answers[{_quoted(f'{place.path} {kind}')}] = @({comma}{listed})"


def _list(words: Iterable[str]) -> str:
    return ", ".join(map(_quoted, words))


def _quoted(text: str) -> str:
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(f"    {line}" for line in lines)
