"""What the cluster's DNS answers: a message in, a message out, no sockets.

Comes from `dns`, which owns the sockets. Names are those of the Kubernetes DNS specification:
`<service>.<namespace>.svc.cluster.local` with A and AAAA records. Until the datapath translates
service addresses, a service's name leads to its ready pods, as that of a headless service does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from lab.pod_files import CLUSTER_DOMAIN
from lab.services import ready_addresses

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.fields import Address
    from lab.objects import KubeObject

DOMAIN = dns.name.from_text(CLUSTER_DOMAIN)
TTL_S = 5
SOA_TEXT = f"ns.dns.{CLUSTER_DOMAIN}. hostmaster.{CLUSTER_DOMAIN}. 1 7200 1800 86400 {TTL_S}"
VERSION_BY_TYPE = {dns.rdatatype.A: 4, dns.rdatatype.AAAA: 6}
PLAIN_UDP_BYTES = 512  # RFC 1035 4.2.1, for those who do not say more by EDNS


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """The names of a cluster at one moment."""

    addresses: dict[dns.name.Name, tuple[Address, ...]]
    inner_names: frozenset[dns.name.Name]
    """Names that have names below them: they exist, though without records."""

    def answer(self, query: dns.message.Message) -> dns.message.Message:
        """Answer one query as the authority for the cluster's domain.

        A name outside of it is refused: there is nobody to forward to. What is no plain query is
        NOTIMP.
        """
        response = dns.message.make_response(query)
        if query.opcode() != dns.opcode.QUERY or len(query.question) != 1:
            response.set_rcode(dns.rcode.NOTIMP)
            return response
        question = query.question[0]
        if not question.name.is_subdomain(DOMAIN) or question.rdclass != dns.rdataclass.IN:
            response.set_rcode(dns.rcode.REFUSED)
            return response
        response.flags |= dns.flags.AA
        self._fill(response, question.name, question.rdtype)
        return response

    def _fill(
        self,
        response: dns.message.Message,
        name: dns.name.Name,
        record_type: dns.rdatatype.RdataType,
    ) -> None:
        version = VERSION_BY_TYPE.get(record_type)
        texts = [
            str(address) for address in self.addresses.get(name, ()) if address.version == version
        ]
        if texts:
            response.answer.append(dns.rrset.from_text(name, TTL_S, "IN", record_type, *texts))
            return
        if name not in self.addresses and name not in self.inner_names:
            response.set_rcode(dns.rcode.NXDOMAIN)
        # Says how long "there is none" may be remembered (RFC 2308).
        response.authority.append(dns.rrset.from_text(DOMAIN, TTL_S, "IN", "SOA", SOA_TEXT))


def build_zone(objects: Iterable[KubeObject]) -> Zone:
    """Make the zone of a cluster's Service and EndpointSlice objects. ObjectError on a bad one."""
    addresses = {}
    inner_names = {DOMAIN}
    for key, found in ready_addresses(objects).items():
        namespace, service = key.split("/")
        name = dns.name.from_text(f"{service}.{namespace}.svc.{CLUSTER_DOMAIN}")
        addresses[name] = found
        inner_names.update((name.parent(), name.parent().parent()))
    return Zone(addresses=addresses, inner_names=frozenset(inner_names))


def to_udp(response: dns.message.Message, query: dns.message.Message) -> bytes:
    """Write a response for UDP; one that is too long says so, and is asked for again by TCP."""
    limit_bytes = max(query.payload, PLAIN_UDP_BYTES)
    wire = response.to_wire()
    if len(wire) <= limit_bytes:
        return wire
    short = dns.message.make_response(query)
    short.flags = response.flags | dns.flags.TC
    return short.to_wire()
