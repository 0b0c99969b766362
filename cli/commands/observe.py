"""`hubble observe`: ask for flows, print them as they come.

    flags -> filters, selection, field mask -> GetFlowsRequest -> server or file -> printer

Everything typed is checked before a connection is made or a file is opened.
"""

from api.lane.metadata import Metadata
from api.proto.flow.flow_pb2 import FlowFilter
from api.proto.observer.observer_pb2 import GetFlowsRequest
from cli.connection import ServerOptions
from cli.errors import UsageError
from cli.fieldmask import field_mask
from cli.filters.tracker import FilterFlags
from cli.flags.arguments import Arguments
from cli.memory import Memory
from cli.printers.choice import Printer, flow_printer, output_format, wants_legacy_json
from cli.printers.twohands import TwoHands
from cli.selection import select
from cli.stream import Question, ask
from cli.surroundings import Surroundings
from cli.times import time_text

_CLUSTER_LIMIT = (("leavitt-limit", "cluster"),)
"""Asks a relay to count --first and --last over all nodes."""


def run(arguments: Arguments, surroundings: Surroundings) -> None:
    """Print flows; raises CliError."""
    filters = FilterFlags()
    arguments.read(filters.take)
    server = ServerOptions.from_arguments(arguments)
    allow, deny = filters.finish()
    chosen = output_format(arguments)
    path = arguments.text("input-file")
    if path and arguments.on("port-forward"):
        raise UsageError("cannot use --input-file and --auto-port-forward together")
    request = GetFlowsRequest()
    select(request, arguments, surroundings.now_ns(), of_file=bool(path))
    allow += _raw_filters("allowlist", arguments)
    deny += _raw_filters("denylist", arguments)
    mask = field_mask(chosen, arguments)
    # Groups may be of any field, and packets and bytes are in none that can be named.
    request.field_mask.paths.extend(() if arguments.texts("aggregate-by") else mask)
    if arguments.on("print-raw-filters"):
        surroundings.out.write(_yaml(allow, deny))
        return
    request.whitelist.extend(allow)
    request.blacklist.extend(deny)
    printer = _printer(chosen, arguments, surroundings)
    if path:
        # NumPy and the filters come with it.
        from cli.inputfile import FileQuestion, print_file

        print_file(FileQuestion(path=path, request=request, printer=printer), surroundings)
        return
    question = Question(
        server=server,
        path="/observer.Observer/GetFlows",
        request=request,
        printer=printer,
        debug=arguments.on("debug"),
        follow=request.follow,
        metadata=_metadata(arguments),
        quiet=arguments.on("silent-errors"),
        now_ns=surroundings.now_ns(),
        memory=Memory(request, surroundings.now_ns()) if arguments.on("retry") else None,
    )
    ask(question, surroundings)


# What most command lines do without is loaded where it is wanted: half of the time that a short
# answer takes is loading.


def _printer(output: str, arguments: Arguments, surroundings: Surroundings) -> Printer:
    names = arguments.texts("aggregate-by")
    if names:
        from cli.aggregate import AggregatePrinter

        return AggregatePrinter(names, output, time_text(arguments.text("time-format")))
    printer = _line_printer(output, arguments, surroundings)
    if not arguments.on("one-line-per-packet"):
        return _with_two_hands(printer, output, arguments)
    from cli.fold import OneLinePerPacket

    return OneLinePerPacket(
        printer,
        as_json=output == "json",
        policy_names=arguments.on("print-policy-names"),
        settle=arguments.on("follow"),
    )


def _with_two_hands(printer: Printer, output: str, arguments: Arguments) -> Printer:
    """Let two processes write what may be long and ends: no stream, and no pipe.

    A port-forward has threads at work, which a fork would cut off in the middle.
    """
    if output not in ("compact", "json") or arguments.text("input-file"):
        return printer
    if arguments.on("follow") or arguments.on("port-forward"):
        return printer
    return TwoHands(printer)


def _line_printer(output: str, arguments: Arguments, surroundings: Surroundings) -> Printer:
    if not wants_legacy_json(arguments.text("output"), surroundings.environ):
        return flow_printer(output, arguments, surroundings)
    if arguments.texts("field-mask"):
        raise UsageError("json output format is not compatible with custom field mask")
    from cli.printers.legacyjson import LegacyJsonPrinter

    return LegacyJsonPrinter()


def _metadata(arguments: Arguments) -> Metadata:
    limit = _CLUSTER_LIMIT if arguments.on("total") else ()
    if not arguments.texts("aggregate-by"):
        return limit
    from cli.aggregate import DETAILS_METADATA

    return (*limit, *DETAILS_METADATA)


def _raw_filters(flag: str, arguments: Arguments) -> list[FlowFilter]:
    texts = arguments.texts(flag)
    if not texts:
        return []
    from cli.filters.raw import parse_filters

    return parse_filters(flag, texts)


def _yaml(allow: list[FlowFilter], deny: list[FlowFilter]) -> str:
    from cli.filters.raw import raw_filters_yaml
    from cli.wirejson.writer import Writers

    write = Writers().of(FlowFilter.DESCRIPTOR)
    return raw_filters_yaml(
        [write(each.SerializeToString()) for each in allow],
        [write(each.SerializeToString()) for each in deny],
    )
