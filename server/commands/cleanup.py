"""`hubble-server cleanup`: remove what a server has left in the kernel.

A server that ends leaves its programs and maps, so that forwarding and verdicts go on; this takes
them away for good. In: the name of a node. Out: what was removed, on standard output.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from api.process.configure import resolve_flags
from api.process.flags import setting_parser
from observer.kernel.cleanup import Removed, remove_node
from server.observed import PIN_SUFFIX
from server.settings import SCHEMA

_KEYS: Final = ("node_name", "bpffs", "netns")


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Remove and say what; 0, also if there was nothing. Raises KernelError if it may not."""
    parser = setting_parser(
        SCHEMA,
        "hubble-server cleanup",
        usage="hubble-server cleanup [flags]",
        description="Take the programs of a node off its interfaces and remove its pinned maps. "
        "Refuses while a server runs for the node. From then on no policy is enforced: what was "
        "denied may pass. And pods whose gateway these programs answered for lose their network "
        "as soon as they have to ask for it again.",
        keys=_KEYS,
    )
    flags = vars(parser.parse_args(argv))
    settings = resolve_flags(SCHEMA, flags, environ, keys=_KEYS).settings
    is_clean = True
    for node in (settings.node_name, settings.node_name + PIN_SUFFIX):
        removed = remove_node(node=node, bpffs=settings.bpffs, netns=settings.netns)
        if not removed.folders and not removed.interfaces:
            continue
        is_clean = False
        print(f"node {node}: {_told(removed)}")
        for folder in removed.folders:
            print(f"removed {folder}")
    if is_clean:
        print(f"node {settings.node_name}: nothing to remove below {settings.bpffs}")
    return 0


def _told(removed: Removed) -> str:
    interfaces = ", ".join(str(index) for index in sorted(removed.interfaces)) or "no interface"
    of = "interfaces " if removed.interfaces else ""
    return (
        f"took programs off {of}{interfaces}; "
        f"removed {removed.programs} programs and {removed.maps} maps"
    )
