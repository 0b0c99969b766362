"""Which printer: from --output and the flags about text."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from cli.errors import UsageError
from cli.flags.arguments import Arguments
from cli.printers.color import palette, wants_color
from cli.surroundings import Surroundings
from cli.times import time_text

_FORMATS = {
    "compact": "compact",
    "dict": "dict",
    "json": "json",
    "jsonpb": "json",
    "JSON": "json",
    "table": "table",
    "tab": "table",
}

# In HUBBLE_COMPAT; `jsonpb` is JSON of today in any case.
_LEGACY_SWITCH = "legacy-json-output"
_LEGACY_OUTPUTS = ("json", "JSON")


class Printer(Protocol):
    """Turns responses of GetFlows, as wire bytes, into text: a str, or bytes in UTF-8."""

    def batch(self, messages: Sequence[bytes]) -> str | bytes:
        """Write what can be written of a batch; raises DecodeError."""

    def finish(self) -> str | bytes:
        """Write what was held back to the end."""


def output_format(arguments: Arguments) -> str:
    """Read --output as compact, dict, json or table; raises UsageError."""
    word = arguments.text("output")
    if word not in _FORMATS:
        raise UsageError(f"invalid output format: {word}")
    chosen = _FORMATS[word]
    if chosen == "table" and arguments.on("follow"):
        raise UsageError("table output format is not compatible with follow mode")
    return chosen


def wants_legacy_json(output: str, environ: Mapping[str, str]) -> bool:
    """Tell whether --output means JSON of the old form (`legacyjson`); names count in any case."""
    names = environ.get("HUBBLE_COMPAT", "").lower().split(",")
    return output in _LEGACY_OUTPUTS and _LEGACY_SWITCH in (name.strip() for name in names)


def flow_printer(output: str, arguments: Arguments, surroundings: Surroundings) -> Printer:
    """Make the printer of a format; of the others not even the modules are loaded."""
    warn = _silent if arguments.on("silent-errors") else surroundings.warn
    if output == "json":
        from cli.printers.jsonlines import JsonPrinter

        return JsonPrinter(debug=arguments.on("debug"), warn=warn)
    return _text_printer(output, arguments, surroundings, warn)


def _text_printer(
    output: str, arguments: Arguments, surroundings: Surroundings, warn: Callable[[str], None]
) -> Printer:
    from cli.printers.events import EventText
    from cli.printers.flowtext import TextOptions

    options = TextOptions(
        translate=arguments.on("ip-translation"),
        numeric=arguments.on("numeric"),
        policy_names=arguments.on("print-policy-names"),
        node_name=arguments.on("print-node-name"),
        time_format=arguments.text("time-format"),
    )
    colored = output != "table" and wants_color(
        arguments.text("color"), terminal=surroundings.terminal, environ=surroundings.environ
    )
    colors = palette(colored=colored)
    events = EventText(
        time=time_text(options.time_format),
        palette=colors,
        debug=arguments.on("debug"),
        as_dict=output == "dict",
        warn=warn,
    )
    if output == "compact":
        from cli.printers.compact import CompactPrinter

        return CompactPrinter(options, colors, events)
    from cli.printers.columns import BlockPrinter, TablePrinter

    return (
        BlockPrinter(options, colors, events)
        if output == "dict"
        else TablePrinter(options, colors, events)
    )


def _silent(_: str) -> None:
    """Say nothing."""
