from __future__ import annotations

from typing import TYPE_CHECKING

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import pytest

from lab.errors import ObjectError
from lab.objects import read_objects
from lab.zone import Zone, build_zone, to_udp

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def zone(two_nodes_file: Path) -> Zone:
    return build_zone(read_objects(two_nodes_file))


def ask(zone: Zone, name: str, record_type: str) -> dns.message.Message:
    return zone.answer(dns.message.make_query(name, record_type))


def texts(response: dns.message.Message) -> set[str]:
    return {str(record) for rrset in response.answer for record in rrset}


@pytest.mark.parametrize(
    ("name", "record_type", "rcode", "answers"),
    [
        pytest.param("web.shop.svc.cluster.local", "A", "NOERROR", {"10.244.1.10"}, id="a"),
        pytest.param(
            "web.shop.svc.cluster.local", "AAAA", "NOERROR", {"fd00:244:1::10"}, id="aaaa"
        ),
        pytest.param("WEB.Shop.svc.cluster.LOCAL", "A", "NOERROR", {"10.244.1.10"}, id="any-case"),
        pytest.param(
            "kube-dns.kube-system.svc.cluster.local", "AAAA", "NOERROR", set(), id="ipv4-only"
        ),
        pytest.param("web.shop.svc.cluster.local", "TXT", "NOERROR", set(), id="no-such-type"),
        pytest.param("shop.svc.cluster.local", "A", "NOERROR", set(), id="inner-name"),
        pytest.param("svc.cluster.local", "A", "NOERROR", set(), id="inner-name-svc"),
        pytest.param("cluster.local", "A", "NOERROR", set(), id="apex"),
        pytest.param("web.default.svc.cluster.local", "A", "NXDOMAIN", set(), id="other-namespace"),
        pytest.param("a.web.shop.svc.cluster.local", "A", "NXDOMAIN", set(), id="below-a-service"),
        pytest.param("example.com", "A", "REFUSED", set(), id="outside"),
        pytest.param("local", "A", "REFUSED", set(), id="above"),
    ],
)
def test_answers(zone: Zone, name: str, record_type: str, rcode: str, answers: set[str]) -> None:
    response = ask(zone, name, record_type)

    assert dns.rcode.to_text(response.rcode()) == rcode
    assert texts(response) == answers
    has_authority = any(rrset.rdtype == dns.rdatatype.SOA for rrset in response.authority)
    assert has_authority == (rcode != "REFUSED" and not answers)
    assert bool(response.flags & dns.flags.AA) == (rcode != "REFUSED")


def test_pods_that_are_not_ready_are_left_out(zone: Zone) -> None:
    assert "10.244.1.99" not in texts(ask(zone, "web.shop.svc.cluster.local", "A"))


def test_other_operations_are_not_implemented(zone: Zone) -> None:
    query = dns.message.make_query("web.shop.svc.cluster.local", "A")
    query.set_opcode(dns.opcode.STATUS)

    assert zone.answer(query).rcode() == dns.rcode.NOTIMP


def test_a_long_answer_is_cut_for_udp_and_says_so(tmp_path: Path) -> None:
    addresses = ", ".join(f"10.1.{number}.1" for number in range(100))
    file = tmp_path / "many.yaml"
    file.write_text(
        "kind: Service\nmetadata: {name: many}\n---\n"
        "kind: EndpointSlice\n"
        "metadata: {name: m, labels: {kubernetes.io/service-name: many}}\n"
        f"endpoints: [{{addresses: [{addresses}]}}]\n"
    )
    query = dns.message.make_query("many.default.svc.cluster.local", "A")
    response = build_zone(read_objects(file)).answer(query)

    wire = to_udp(response, query)

    assert len(wire) <= 512
    assert dns.message.from_wire(wire).flags & dns.flags.TC
    query.use_edns(payload=4096)
    assert not dns.message.from_wire(to_udp(response, query)).flags & dns.flags.TC


def test_a_bad_address_names_file_object_and_field(two_nodes_file: Path) -> None:
    two_nodes_file.write_text(two_nodes_file.read_text().replace("[10.244.2.53]", "[10.244.2]"))

    with pytest.raises(
        ObjectError,
        match=r"two-nodes\.yaml: EndpointSlice kube-system/kube-dns-1:"
        r" endpoints\[0\]\.addresses\[0\]: want an IP address, got '10\.244\.2'",
    ):
        build_zone(read_objects(two_nodes_file))
