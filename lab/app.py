"""`hubble-lab`: the command line of the lab.

up            build a lab from a YAML file or a scenario that comes with Leavitt
down          take a lab away
status        show labs, pods, addresses and programs
exec          run a command in a pod or a node
port-forward  let a port of this machine lead to one of a pod or a node
demo          three nodes with hubble-server, a relay, traffic and a live view
traffic       what goes on in the demo, in a lab that is up
certs         make certificates for mutual TLS
serve         the programs of the scenarios, run inside pods
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lab.errors import LabError, ProcessError, RunError
from lab.namespaces import enter
from lab.portforward import HOST, forward, reserve
from lab.programs import typed
from lab.runs import Run, existing_runs, find_run, require_root
from lab.session import Lab, build, scenario
from lab.status import report
from lab.traffic import run_traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEFAULT_RUN = "lab"
DEMO_RUN = "demo"
NODE_PREFIX = "node/"


class Action(NamedTuple):
    """One word after `hubble-lab`."""

    do: Callable[[argparse.Namespace], int]
    """Does it and gives the exit status."""

    add_arguments: Callable[[argparse.ArgumentParser], None]
    help: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `hubble-lab`. Returns the exit status: 0, 1 with a message, or that of the command."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.action(options))
    except LabError as error:
        print(f"hubble-lab: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # `hubble-lab status | head`: the reader has had enough, and must not be told so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


def _up(options: argparse.Namespace) -> int:
    file = Path(options.file) if options.file else scenario(options.scenario)
    run = Run(name=options.run)
    with run.lock():
        if run.is_up:
            down = f"{typed('hubble-lab')} down --run {run.name}"
            raise LabError(f"run {run.name} is up already: {down}")
        lab = build(file, run, plain=options.plain)
    print(f"run {run.name} is up: {len(lab.topology.nodes)} nodes, {len(lab.topology.pods)} pods")
    print(f"objects in {lab.state}; try: {typed('hubble-lab')} status --run {run.name}")
    return 0


def _down(options: argparse.Namespace) -> int:
    # A name may be given of which nothing but namespaces is left: those are removed, too.
    run = Run(name=options.run) if options.run else find_run(None)
    with run.lock():
        if not run.is_there:
            raise RunError(f"no run {run.name}")
        run.remove()
    print(f"run {run.name} is down")
    return 0


def _status(options: argparse.Namespace) -> int:
    runs = [find_run(options.run)] if options.run else existing_runs()
    if not runs:
        print("no lab is up")
    for run in runs:
        print(report(run))
    return 0


def _exec(options: argparse.Namespace) -> int:
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise LabError(f"exec {options.target}: no command given; write it behind --")
    require_root()
    lab = Lab.find(find_run(options.run))
    if options.target.startswith(NODE_PREFIX):
        enter(_netns(lab, options.target))
        environment = dict(os.environ)
    else:
        pod = lab.topology.pod(options.target)
        environment = lab.environment(pod)
        lab.entrance(pod)()
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 - what the user asked for
    except OSError as error:
        raise ProcessError(f"run {command[0]} in {options.target}: {error.strerror}") from None


def _port_forward(options: argparse.Namespace) -> int:
    require_root()
    netns = _netns(Lab.find(find_run(options.run)), options.target)
    port, inner_port = options.ports
    listener = reserve(port)
    print(f"{HOST}:{port} leads to port {inner_port} of {options.target}", flush=True)
    asyncio.run(forward(listener, netns, inner_port))
    return 0


def _netns(lab: Lab, target: str) -> str:
    if target.startswith(NODE_PREFIX):
        return lab.topology.node(target.removeprefix(NODE_PREFIX)).netns
    return lab.topology.pod(target).netns


def _demo(options: argparse.Namespace) -> int:
    from lab.demo import run_demo  # the lane and its libraries are of no use to the others

    demo = run_demo(
        Run(name=options.run),
        port=options.port,
        duration_s=options.duration,
        keep=options.keep,
        tls=options.tls,
    )
    return asyncio.run(demo)


def _certs(options: argparse.Namespace) -> int:
    from lab.certificates import make_certificates  # its library is of no use to the others

    files = make_certificates(options.folder, cluster_name=options.cluster_name, days=options.days)
    for path in sorted(files.folder.glob("*.crt")):
        print(path)
    return 0


def _traffic(options: argparse.Namespace) -> int:
    require_root()
    asyncio.run(run_traffic(Lab.find(find_run(options.run))))
    return 0


def _serve(options: argparse.Namespace) -> int:
    # Each program brings libraries that the others, and the lab itself, do without.
    if options.program == "deathstar":
        from lab.deathstar import serve as serve_deathstar

        serve_deathstar(os.environ.get("HOSTNAME", "deathstar"))
    else:
        from lab.dns import serve as serve_dns

        asyncio.run(serve_dns(Path(options.state)))
    return 0


def _up_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group()
    source.add_argument("file", nargs="?", metavar="FILE", help="YAML file of Kubernetes objects")
    source.add_argument(
        "--scenario",
        default="empire",
        metavar="NAME",
        help="one that comes with Leavitt: empire, galaxy (empire)",
    )
    parser.add_argument(
        "--plain", action="store_true", help="route without a datapath: no server needed, no policy"
    )
    _new_run_argument(parser, DEFAULT_RUN)


def _exec_arguments(parser: argparse.ArgumentParser) -> None:
    _run_argument(parser)
    _target_argument(parser)
    parser.add_argument(
        "command", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="what to run there"
    )


def _port_forward_arguments(parser: argparse.ArgumentParser) -> None:
    _run_argument(parser)
    _target_argument(parser)
    parser.add_argument(
        "ports", type=_port_pair, metavar="[HERE:]THERE", help="on 127.0.0.1 here, and in the pod"
    )


def _demo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--duration", type=_seconds, metavar="SECONDS", help="end by itself after")
    parser.add_argument(
        "--keep", action="store_true", help="leave lab and servers running at the end"
    )
    parser.add_argument(
        "--port", type=_port, default=4245, help="where the relay answers, on 127.0.0.1 (4245)"
    )
    parser.add_argument(
        "--tls", action="store_true", help="mutual TLS between nodes, relay and hubble"
    )
    _new_run_argument(parser, DEMO_RUN)


def _certs_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="where to; an authority that is there stays"
    )
    parser.add_argument(
        "--cluster-name", default="default", metavar="NAME", help="of the nodes (default)"
    )
    parser.add_argument(
        "--days", type=_days, default=365, help="until all but the authority end (365)"
    )


def _serve_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("program", choices=["deathstar", "dns"])
    parser.add_argument(
        "--state",
        default=os.environ.get("HUBBLE_LAB_STATE", "."),
        metavar="FOLDER",
        help="the objects that dns answers from ($HUBBLE_LAB_STATE, set in every pod)",
    )


def _target_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="POD", help="NAME, NAMESPACE/NAME or node/NAME")


def _run_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", metavar="ID", help="which lab (the only one there is)")


def _new_run_argument(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--run",
        metavar="ID",
        default=default,
        help=f"a name for it, 1 to 8 letters a-z or digits ({default})",
    )


ACTIONS: dict[str, Action] = {
    "up": Action(_up, _up_arguments, "build a lab"),
    "down": Action(_down, _run_argument, "take a lab away, with everything it started"),
    "status": Action(_status, _run_argument, "show labs, pods, addresses and programs"),
    "exec": Action(_exec, _exec_arguments, "run a command in a pod or a node"),
    "port-forward": Action(
        _port_forward,
        _port_forward_arguments,
        "let a port of this machine lead to one of a pod or a node",
    ),
    "demo": Action(
        _demo, _demo_arguments, "three nodes with servers, a relay, traffic and a live view"
    ),
    "traffic": Action(_traffic, _run_argument, "make the demo's traffic in a lab that is up"),
    "certs": Action(_certs, _certs_arguments, "make certificates for mutual TLS"),
    "serve": Action(_serve, _serve_arguments, "run a program of the scenarios (inside a pod)"),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hubble-lab", description="A cluster on one machine: nodes and pods as namespaces."
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for name, action in ACTIONS.items():
        one = actions.add_parser(name, help=action.help, description=action.help)
        action.add_arguments(one)
        one.set_defaults(action=action.do)
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"want a port from 1 to 65535, got {text!r}")
    return int(text)


def _port_pair(text: str) -> tuple[int, int]:
    here, _, there = text.rpartition(":")
    return _port(here or there), _port(there)


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 3650:
        raise argparse.ArgumentTypeError(f"want days from 1 to 3650, got {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"want seconds above 0, got {text!r}")
    return seconds
