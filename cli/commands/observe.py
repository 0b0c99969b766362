"""`hubble observe`: ask for flows, print them as they come.

    flags -> filters, selection, field mask -> GetFlowsRequest -> server or file -> printer

Everything typed is checked before a connection is made or a file is opened.
"""

from api.proto.flow.flow_pb2 import FlowFilter
from api.proto.observer.observer_pb2 import GetFlowsRequest
from cli.aggregate import DETAILS_METADATA, AggregatePrinter
from cli.connection import ServerOptions
from cli.errors import UsageError
from cli.fieldmask import field_mask
from cli.filters.raw import parse_filters, raw_filters_yaml
from cli.filters.tracker import FilterFlags
from cli.flags.arguments import Arguments
from cli.fold import OneLinePerPacket
from cli.printers.choice import Printer, flow_printer, output_format
from cli.printers.legacyjson import LegacyJsonPrinter, wants_legacy_json
from cli.selection import select
from cli.stream import Question, ask
from cli.surroundings import Surroundings
from cli.times import time_text


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
    allow += parse_filters("allowlist", arguments.texts("allowlist"))
    deny += parse_filters("denylist", arguments.texts("denylist"))
    mask = field_mask(chosen, arguments)
    # Groups may be of any field, and packets and bytes are in none that can be named.
    request.field_mask.paths.extend(() if arguments.texts("aggregate-by") else mask)
    if arguments.on("print-raw-filters"):
        surroundings.out.write(raw_filters_yaml(_json(allow), _json(deny)))
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
        metadata=DETAILS_METADATA if arguments.texts("aggregate-by") else (),
        quiet=arguments.on("silent-errors"),
        now_ns=surroundings.now_ns(),
    )
    ask(question, surroundings)


def _printer(output: str, arguments: Arguments, surroundings: Surroundings) -> Printer:
    names = arguments.texts("aggregate-by")
    if names:
        return AggregatePrinter(names, output, time_text(arguments.text("time-format")))
    legacy = wants_legacy_json(arguments.text("output"), surroundings.environ)
    if legacy and arguments.texts("field-mask"):
        raise UsageError("json output format is not compatible with custom field mask")
    printer = LegacyJsonPrinter() if legacy else flow_printer(output, arguments, surroundings)
    if not arguments.on("one-line-per-packet"):
        return printer
    return OneLinePerPacket(
        printer,
        as_json=output == "json",
        policy_names=arguments.on("print-policy-names"),
        settle=arguments.on("follow"),
    )


def _json(filters: list[FlowFilter]) -> list[str]:
    # Of all that observe does only this needs it, and hardly ever.
    from cli.wirejson.writer import Writers

    write = Writers().of(FlowFilter.DESCRIPTOR)
    return [write(each.SerializeToString()) for each in filters]
