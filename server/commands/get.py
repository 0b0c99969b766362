"""`hubble-server get WHAT`: what a node has in the kernel, as a table or JSON.

In: the node's pins, and from its server, if one runs, the labels of identities. Out: standard
output. Changes nothing.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from api.lane.client import Channel
from api.lane.status import RpcError
from api.process.configure import resolve_flags
from api.process.flags import setting_parser
from api.proto.leavitt.policy_pb2 import IdentitiesRequest, IdentitiesResponse, KnownIdentity
from observer.entities import reserved_labels
from server.commands.pinned import PinnedMaps, Row
from server.settings import SCHEMA

_KEYS: Final = ("node_name", "bpffs", "socket_path")
_TIMEOUT_S: Final = 5.0
_GAP: Final = "   "
Known = Mapping[int, KnownIdentity]


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print it; 0. Raises KernelError where nothing can be read."""
    parser = setting_parser(
        SCHEMA,
        "hubble-server get",
        usage=f"hubble-server get {{{','.join(WHAT)}}} [-o table|json] [flags]",
        description="Show what a node has in the kernel: its endpoints, the identities of "
        "addresses, policy entries, connections. Needs root, but no server; labels are shown "
        "where the node's server runs.",
        keys=_KEYS,
    )
    parser.add_argument("what", choices=tuple(WHAT), metavar="WHAT", help=", ".join(WHAT))
    parser.add_argument(
        "-o", dest="output", choices=("table", "json"), default="table", help="form of the list"
    )
    flags = vars(parser.parse_args(argv))
    what, output = flags.pop("what"), flags.pop("output")
    settings = resolve_flags(SCHEMA, flags, environ, keys=_KEYS).settings
    known = asyncio.run(_known(settings.socket_path))
    with closing(PinnedMaps(node=settings.node_name, bpffs=settings.bpffs)) as maps:
        rows = list(WHAT[what](maps, known))
    print(json.dumps(rows, indent=2) if output == "json" else table(rows), end="\n")
    return 0


def table(rows: Sequence[Row]) -> str:
    """Align rows below the names of their columns."""
    if not rows:
        return "nothing"
    cells = [
        [each.upper() for each in rows[0]],
        *([_text(v) for v in row.values()] for row in rows),
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        _GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def _text(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value)) or "-"
    return str(value)


async def _known(socket_path: Path) -> Known:
    """Ask the node's server what identities stand for; nothing if there is none."""
    channel = Channel(f"unix://{socket_path}")
    try:
        response = await channel.unary(
            "/leavitt.Policies/Identities", IdentitiesRequest(), IdentitiesResponse,
            timeout_s=_TIMEOUT_S,
        )  # fmt: skip
    except RpcError:
        return {}
    finally:
        await channel.close()
    return {each.identity: each for each in response.identities}


def _labels(identity: int, known: Known) -> list[str]:
    found = known.get(identity)
    return list(reserved_labels(identity) if found is None else found.labels)


def _endpoints(maps: PinnedMaps, known: Known) -> Iterator[Row]:
    for row in maps.endpoints():
        yield {**row, "labels": _labels(row["identity"], known)}


def _identities(maps: PinnedMaps, known: Known) -> Iterator[Row]:
    used = {row["identity"] for row in maps.ipcache()} | {r["identity"] for r in maps.endpoints()}
    for identity in sorted(used | known.keys()):
        pods = list(known[identity].pods) if identity in known else []
        yield {"identity": identity, "pods": pods, "labels": _labels(identity, known)}


def _ipcache(maps: PinnedMaps, known: Known) -> Iterator[Row]:
    for row in maps.ipcache():
        yield {**row, "labels": _labels(row["identity"], known)}


WHAT: Final[dict[str, Callable[[PinnedMaps, Known], Iterator[Row]]]] = {
    "endpoints": _endpoints,
    "identities": _identities,
    "policymap": lambda maps, _: maps.policymap(),
    "conntrack": lambda maps, _: maps.conntrack(),
    "ipcache": _ipcache,
}
"""What can be shown → its rows."""
