"""The parties of tests.policy.documents as the compiler knows them."""

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

from policy.ciliumpolicy import read_cilium_policy
from policy.compiler import Compiler, EndpointPolicy
from policy.drafting import Profile
from policy.fields import Field
from policy.networkpolicy import read_network_policy
from policy.rules import Policy
from policy.subjects import RESERVED_SUBJECTS, NamedPort, Subject
from tests.policy.documents import NETWORKS, PARTIES
from tests.policy.oracle import Party

IDENTITIES: dict[str, int] = {
    "web": 1001,
    "db": 1002,
    "bare": 1003,
    "other": 1004,
    "lone": 1005,
    "host": 1,
    "world": 2,
    "remote-node": 6,
    "world-ipv4": 9,
    "world-ipv6": 10,
    **{network: (1 << 24) + number for number, network in enumerate(NETWORKS, 1)},
}


def subject(party: Party) -> Subject:
    return Subject(
        labels=dict(party.labels),
        network=ip_network(party.network) if party.network else None,
        ports={
            name: frozenset(NamedPort(*port) for port in ports)
            for name, ports in party.ports.items()
        },
    )


SUBJECTS: Mapping[int, Subject] = {
    **RESERVED_SUBJECTS,
    **{IDENTITIES[name]: subject(party) for name, party in PARTIES.items()},
}


def read(document: dict[str, Any]) -> Policy:
    is_k8s = document["kind"] == "NetworkPolicy"
    return (read_network_policy if is_k8s else read_cilium_policy)(Field(document))


def profile(name: str, *, is_audited: bool = False) -> Profile:
    ports = tuple(
        sorted(
            (word, NamedPort(*port))
            for word, found in PARTIES[name].ports.items()
            for port in found
        )
    )
    return Profile(IDENTITIES[name], ports, is_audited)


def learned(
    documents: list[dict[str, Any]],
    compiler: Compiler | None = None,
    subjects: Mapping[int, Subject] = SUBJECTS,
) -> Compiler:
    compiler = compiler or Compiler()
    for _ in compiler.learn([read(each) for each in documents], subjects):
        pass
    return compiler


def compiled(
    documents: list[dict[str, Any]], name: str, **how: bool
) -> tuple[Compiler, EndpointPolicy]:
    compiler = learned(documents)
    return compiler, compiler.compile(profile(name, **how))
