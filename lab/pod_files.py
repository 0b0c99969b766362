"""The files under /etc that a program in a pod sees instead of the machine's.

resolv.conf is what a kubelet writes: search the pod's namespace first, five dots make a name
absolute. The nameserver is the DNS pod itself, not its service: nothing translates the service's
virtual address yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.services import ready_addresses

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.objects import KubeObject
    from lab.runs import Run
    from lab.topology import Topology

DNS_SERVICE = "kube-system/kube-dns"
CLUSTER_DOMAIN = "cluster.local"
NAMESERVER_LIMIT = 3  # MAXNS of <resolv.h>: more are ignored

# Not the machine's, which may send names to a daemon outside the pod.
NSSWITCH = "hosts: files dns\n"


def write_pod_files(topology: Topology, objects: Iterable[KubeObject], run: Run) -> None:
    """Write the files of every pod below `run.etc`. Without DNS pods names will not resolve."""
    nameservers = ready_addresses(objects).get(DNS_SERVICE, ())[:NAMESERVER_LIMIT]
    for pod in topology.pods:
        folder = run.etc / pod.netns
        folder.mkdir()
        domains = (f"{pod.namespace}.svc", "svc", "")
        search = " ".join(f"{domain}.{CLUSTER_DOMAIN}".lstrip(".") for domain in domains)
        lines = [*(f"nameserver {address}" for address in nameservers), f"search {search}"]
        (folder / "resolv.conf").write_text("\n".join([*lines, "options ndots:5", ""]))
        (folder / "nsswitch.conf").write_text(NSSWITCH)
