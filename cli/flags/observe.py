"""Flags of `hubble observe` besides the filters."""

from cli.flags.table import Flag, FlagSet, switch
from cli.times import FORMATS

_SINCE_HELP = """What to begin with: a time before now (3s, 4m, 1h43m) or one of
  2006-01-02
  2006-01-02T15-07:00
  2006-01-02T15:04-07:00
  2006-01-02T15:04:05-07:00              (RFC 3339, fraction allowed)
  Mon, 02 Jan 2006 15:04:05 -0700        (RFC 1123)
Z stands for UTC"""

_FORMATS_HELP = "How to print times (JSON always has RFC 3339):\n" + "\n".join(
    f"  {name + ':':<24}{form.layout}" for name, form in FORMATS.items()
)

SELECTORS = FlagSet(
    title="Selectors",
    flags=(
        switch("all", "Everything that the server has kept; can be a lot, better with filters"),
        Flag(
            name="first",
            kind="uint",
            help="The oldest N flows that the server has kept; of a relay, N of each node",
        ),
        switch("follow", "Go on with new flows as they come", short="f"),
        Flag(
            name="last",
            kind="uint",
            help="The newest N flows, 20 if nothing else is said; of a relay, N of each node",
        ),
        switch(
            "retry",
            "With --follow: when the server is lost wait for it, and go on where it broke off;\n"
            "a gap that stays is marked as lost events",
        ),
        Flag(name="since", kind="string", help=_SINCE_HELP),
        Flag(name="until", kind="string", help="What to end with, in the same words as --since"),
    ),
)

FLOW_SELECTORS = FlagSet(
    title="Selectors",
    flags=(
        *SELECTORS.flags,
        switch("total", "Let --first and --last count over the whole cluster, not for each node"),
    ),
)

RAW_FILTERS = FlagSet(
    title="Raw-Filters",
    flags=(
        Flag(
            name="allowlist",
            kind="array",
            help="FlowFilters in JSON; a flow is shown if one of them finds it",
            from_environment=True,
        ),
        Flag(
            name="denylist",
            kind="array",
            help="FlowFilters in JSON; a flow is not shown if one of them finds it",
            from_environment=True,
        ),
    ),
)

FORMATTING = FlagSet(
    title="Formatting",
    flags=(
        Flag(
            name="output",
            short="o",
            kind="string",
            default="compact",
            choices=("compact", "dict", "json", "jsonpb", "table"),
            help=(
                "Output format:\n"
                "  compact:  one line a flow\n"
                "  dict:     one KEY: VALUE a line\n"
                "  jsonpb:   JSON of the API's answers, one a line\n"
                "  json:     the same\n"
                "  table:    columns, when all is there"
            ),
        ),
        switch("print-node-name", "Show which node saw the flow"),
        switch("print-policy-names", "Show which policies allowed or denied"),
        Flag(
            name="time-format",
            kind="string",
            default="StampMilli",
            choices=tuple(FORMATS),
            help=_FORMATS_HELP,
        ),
    ),
)

FLOW_FORMAT = FlagSet(
    title="Flow Format",
    flags=(
        Flag(
            name="aggregate-by",
            kind="strings",
            choices=(
                *("destination", "destination-identity", "destination-ip"),
                *("destination-namespace", "destination-pod", "direction", "node", "port"),
                *("protocol", "source", "source-identity", "source-ip", "source-namespace"),
                *("source-pod", "type", "verdict"),
            ),
            help=(
                "Count flows, packets and bytes in groups, by one or more of\n"
                "  source, destination, and of either: -ip, -pod, -namespace, -identity\n"
                "  port (of the server), protocol, verdict, type, direction, node"
            ),
        ),
        switch(
            "one-line-per-packet", "Show the verdicts on a packet in the line of what became of it"
        ),
        Flag(
            name="color",
            kind="string",
            default="auto",
            choices=("auto", "always", "never"),
            help="Colours in compact and dict output: auto, always or never",
        ),
        Flag(
            name="ip-translation",
            kind="bool",
            bare="true",
            default="true",
            help="Show names of pods, services and domains in place of IP addresses",
        ),
        switch("numeric", "Show addresses and identities as numbers only"),
    ),
)

OTHER = FlagSet(
    title="Other",
    flags=(
        Flag(
            name="field-mask",
            kind="strings",
            help="Fields of a flow to ask for, e.g. 'time,source.pod_name'; JSON output only",
        ),
        Flag(
            name="input-file",
            kind="string",
            is_file=True,
            help="Read flows from this file of JSON lines, '-' for stdin, and ask no server",
        ),
        switch("print-raw-filters", "Show the filters as JSON in YAML, and do not ask the server"),
        switch("silent-errors", "Say nothing of troubled nodes", short="s"),
        Flag(
            name="use-default-field-masks",
            kind="bool",
            bare="true",
            default="true",
            help="Ask only for the fields that the output format shows",
        ),
    ),
)
