"""All commands, with the flags they take and the functions that run them.

Loading this page loads no protobuf and no network: the flags of a command are fetched when its
name is met, its function when it runs.
"""

from collections.abc import Callable

from cli.flags.server import GLOBAL, SERVER
from cli.flags.table import Command, Flag, FlagSet, switch


def _global() -> tuple[FlagSet, ...]:
    return (GLOBAL,)


def _root() -> tuple[FlagSet, ...]:
    version = FlagSet(title="Other", flags=(switch("version", "Show the version"),))
    return (version, GLOBAL)


def _flows() -> tuple[FlagSet, ...]:
    from cli.filters.rows import FILTERS
    from cli.flags.observe import FLOW_FORMAT, FLOW_SELECTORS, FORMATTING, OTHER, RAW_FILTERS

    return (FLOW_SELECTORS, FILTERS, RAW_FILTERS, FORMATTING, FLOW_FORMAT, SERVER, OTHER, GLOBAL)


def _events() -> tuple[FlagSet, ...]:
    from cli.flags.observe import FORMATTING, OTHER, SELECTORS

    return (SELECTORS, FORMATTING, SERVER, OTHER, GLOBAL)


def _status() -> tuple[FlagSet, ...]:
    formats = "compact, dict, json or table"
    output = _output("compact", formats, ("compact", "dict", "json", "table"))
    other = FlagSet(
        title="Other", flags=(switch("verbose", "Show what a relay knows of each node", short="v"),)
    )
    return (output, SERVER, other, GLOBAL)


def _list() -> tuple[FlagSet, ...]:
    formats = "table, wide (with more columns) or json"
    return (_output("table", formats, ("table", "wide", "json")), SERVER, GLOBAL)


def _group() -> tuple[FlagSet, ...]:
    return (SERVER, GLOBAL)


def _output(default: str, formats: str, choices: tuple[str, ...]) -> FlagSet:
    flag = Flag(
        name="output",
        short="o",
        kind="string",
        default=default,
        choices=choices,
        help=f"Output format: {formats}",
    )
    return FlagSet(title="Formatting", flags=(flag,))


_FLOWS_EXAMPLES = """\
The last flows from pods of a namespace:
  hubble observe --from-namespace kube-system

What was dropped on the way to pods with a label, as JSON:
  hubble observe --to-label class=deathstar --verdict DROPPED --last 10 -o json

New flows of a pod as they come, except DNS:
  hubble observe --follow --pod default/xwing --not --port 53

What passed between two pods in the last three minutes:
  hubble observe --from-pod default/xwing --to-pod default/deathstar --since 3m"""

FLOWS = Command(
    name="flows",
    summary="Show flows: which packets went from where to where, and what became of them",
    help=(
        "Show flows that a server has kept, or that it sees now.\n\n"
        "Without further words the last 20 are shown. Filters of different kinds must all agree;\n"
        "of several values of one filter any will do."
    ),
    examples=_FLOWS_EXAMPLES,
    sets=_flows,
    run="cli.commands.observe:run",
)

AGENT_EVENTS = Command(
    name="agent-events",
    summary="Show what happened to the agents: started, endpoints, policies, addresses",
    help=(
        "Show what happened to the agents of the nodes: that one started, that endpoints came\n"
        "and went, that policies or the identities of addresses changed."
    ),
    sets=_events,
    run="cli.commands.events:run_agent",
)

DEBUG_EVENTS = Command(
    name="debug-events",
    summary="Show debug messages of the datapath",
    help="Show debug messages of the datapath; it writes them only where that is switched on.",
    sets=_events,
    run="cli.commands.events:run_debug",
)


def _settings(name: str, what: str, words: str = "") -> Command:
    return Command(
        name=name,
        words=words,
        choices=_SETTINGS if words else (),
        summary=what,
        help=f"{what}.",
        sets=_group,
        run=f"cli.commands.config:run_{name}",
    )


_SETTINGS = tuple(sorted(flag.name for flag in (*GLOBAL.flags, *SERVER.flags)))

CONFIG = Command(
    name="config",
    summary="Show settings, and change those in the configuration file",
    help=(
        "Show settings, and change those in the configuration file.\n\n"
        "Global and server flags need not be typed each time. A value is taken from the flag, or\n"
        "from the environment (HUBBLE_TLS_SERVER_NAME for --tls-server-name), or from the file,\n"
        "or is the default: whatever of these comes first."
    ),
    sets=_global,
    children=(
        _settings("get", "Show one setting as it is in force, or all", "[KEY]"),
        _settings("reset", "Write the default of one setting, or of all, into the file", "[KEY]"),
        _settings("set", "Write a setting into the file, or its default", "KEY [VALUE]"),
        _settings("view", "Show all settings as they are in force"),
    ),
)


def _shell(name: str, title: str) -> Command:
    return Command(
        name=name,
        summary=f"The script for {title}",
        help=f"Print the script that completes `hubble` command lines in {title}.",
        sets=_global,
        run=f"cli.commands.completion:run_{name}",
    )


COMPLETION = Command(
    name="completion",
    summary="Print the script that completes command lines in a shell",
    help="Print the script that completes `hubble` command lines in a shell.",
    sets=_global,
    children=(
        _shell("bash", "bash"),
        _shell("fish", "fish"),
        _shell("powershell", "PowerShell"),
        _shell("zsh", "zsh"),
    ),
)

WATCH = Command(
    name="watch",
    summary="Watch what changes on a server",
    help="Watch what changes on a server.",
    aliases=("w",),
    hidden=True,
    sets=_group,
    children=(
        Command(
            name="peers",
            summary="Nodes that come, change and go",
            help="Watch the nodes that a server knows of: those there are, then each change.",
            aliases=("peer",),
            sets=_group,
            run="cli.commands.peers:run",
        ),
    ),
)


def _policy(*more: str) -> Callable[[], tuple[FlagSet, ...]]:
    """Make the flags of a policy command, with those of these names."""

    def sets() -> tuple[FlagSet, ...]:
        from cli.flags import policy

        output = _output("text", "text or json", ("text", "json"))
        return (*(getattr(policy, name) for name in more), output, SERVER, GLOBAL)

    return sets


_VERDICT_EXAMPLE = """\
May the xwing land?
  hubble policy verdict --from-pod default/xwing --to-pod default/deathstar --port 80/TCP

May a pod reach an address outside?
  hubble policy verdict --from-pod default/xwing --to-ip 192.0.2.7 --port 443"""

POLICY = Command(
    name="policy",
    summary="Show network policies, and what they say of a packet",
    help=(
        "Show the network policies that a node enforces, and what they say of a packet.\n"
        "Nodes answer this, relays do not."
    ),
    sets=_group,
    children=(
        Command(
            name="explain",
            summary="Why a flow was dropped, and what would let it pass",
            help=(
                "Explain what policies say of a flow: of the one with a uuid, or the last one of\n"
                "a pod that was dropped. Each rule of the policies that select the pods is named,\n"
                "with the reason why it is not about the flow, and the smallest change that would\n"
                "let it pass. Policies are asked as they are now."
            ),
            sets=_policy("DROPPED"),
            run="cli.commands.policy:run_explain",
        ),
        Command(
            name="list",
            summary="The policies in force",
            help="List the policies that are in force, and what cannot be honoured.",
            sets=_policy(),
            run="cli.commands.policy:run_list",
        ),
        Command(
            name="show",
            words="[NAMESPACE/]NAME",
            summary="One policy: whom it selects, its rules",
            help="Show a policy: which pods it selects, where it isolates them, and its rules.",
            sets=_policy(),
            run="cli.commands.policy:run_show",
        ),
        Command(
            name="verdict",
            summary="What would become of a packet, without sending one",
            help=(
                "Say what would become of a packet that begins a connection, by which rule, or\n"
                "which rule misses it by least. No packet is sent."
            ),
            examples=_VERDICT_EXAMPLE,
            sets=_policy("PACKET"),
            run="cli.commands.policy:run_verdict",
        ),
    ),
)

REFLECT = Command(
    name="reflect",
    summary="Show the API of a server",
    help="Show the API of a server as it describes it: one file descriptor a line, in JSON.",
    hidden=True,
    sets=_group,
    run="cli.commands.reflect:run",
)

ROOT = Command(
    name="hubble",
    summary="",
    help="Look at the traffic of a cluster: what passed, what was dropped, and why.",
    sets=_root,
    children=(
        COMPLETION,
        CONFIG,
        Command(
            name="help",
            summary="Show the help of a command",
            help="Show the help of a command: `hubble help observe`.",
            sets=_global,
            run="cli.commands.help:run",
        ),
        Command(
            name="list",
            summary="List nodes or namespaces",
            help="List what a server knows.",
            sets=_group,
            children=(
                Command(
                    name="namespaces",
                    summary="Namespaces with traffic in the last hour",
                    help="List namespaces with traffic in the last hour.",
                    aliases=("namespace", "ns"),
                    sets=_list,
                    run="cli.commands.listing:run_namespaces",
                ),
                Command(
                    name="nodes",
                    summary="Nodes that a relay gathers flows from",
                    help="List the nodes that a relay gathers flows from, and their state.",
                    aliases=("node",),
                    sets=_list,
                    run="cli.commands.listing:run_nodes",
                ),
            ),
        ),
        Command(
            name="observe",
            summary="Show flows of a server",
            help=FLOWS.help,
            examples=FLOWS.examples,
            sets=_flows,
            children=(AGENT_EVENTS, DEBUG_EVENTS, FLOWS),
            run=FLOWS.run,
        ),
        POLICY,
        REFLECT,
        Command(
            name="status",
            summary="Show whether a server is well, and what it has seen",
            help=(
                "Show whether a server is well, how many flows it keeps and sees, and, of a\n"
                "relay, how many nodes are connected."
            ),
            sets=_status,
            run="cli.commands.status:run",
        ),
        Command(
            name="version",
            summary="Show the version",
            help="Show the version of this program.",
            sets=_global,
            run="cli.commands.version:run",
        ),
        WATCH,
    ),
)
