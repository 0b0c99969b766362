from dataclasses import replace
from ipaddress import ip_address

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.addresses import AddressBook
from observer.entities import Endpoint, Interface, PolicyRef, Service, address_bytes
from observer.table.interns import Interns

POD = Endpoint(
    endpoint_id=7,
    identity=1000,
    cluster_name="default",
    namespace="default",
    labels=("k8s:app=a",),
    pod_name="a-1",
    workloads=(),
)


class Bed:
    """A book and one-row questions to it."""

    def __init__(self) -> None:
        self.interns = Interns()
        self.book = AddressBook(self.interns, cluster_name="default")

    def entry(self, address: str) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
        raw = np.frombuffer(address_bytes(ip_address(address)), np.uint64).reshape(1, 2)
        return self.book.entries(raw)

    def endpoint(self, address: str, identity: int = 0) -> Endpoint | None:
        identities = np.array([identity], np.uint32)
        ref = int(self.book.endpoint_refs(self.entry(address), identities)[0])
        return self.interns.endpoints[ref] if ref else None

    def service(self, address: str, port: int, proto: int) -> Service | None:
        ports, protos = np.array([port], np.uint16), np.array([proto], np.uint8)
        ref = int(self.book.service_refs(self.entry(address), ports, protos)[0])
        return self.interns.services[ref] if ref else None

    def interface(self, index: int) -> Interface | None:
        ref = int(self.book.interface_refs(np.array([index], np.uint32))[0])
        return self.interns.interfaces[ref] if ref else None


@pytest.fixture
def bed() -> Bed:
    bed = Bed()
    bed.book.set_endpoint(address_bytes(ip_address("10.0.0.1")), POD)
    bed.book.set_endpoint(address_bytes(ip_address("fd00::1")), POD)
    return bed


@pytest.mark.parametrize("address", ["10.0.0.1", "fd00::1"])
@pytest.mark.parametrize("identity", [0, 1000])
def test_a_known_address(bed: Bed, address: str, identity: int) -> None:
    assert bed.endpoint(address, identity) == POD


@pytest.mark.parametrize("address", ["10.0.0.2", "192.0.2.1", "fd00::2", "::ffff:0:1", "224.0.0.1"])
@pytest.mark.parametrize("identity", [0, 2])
def test_an_unknown_address_is_the_world(bed: Bed, address: str, identity: int) -> None:
    found = bed.endpoint(address, identity)
    assert found is not None
    assert (found.identity, found.labels, found.pod_name) == (2, ("reserved:world",), "")


def test_no_address_and_no_identity_is_nobody(bed: Bed) -> None:
    assert bed.endpoint("::", 0) is None
    found = bed.endpoint("::", 5)
    assert found is not None
    assert (found.identity, found.labels) == (5, ("reserved:init",))


def test_the_datapath_identity_wins(bed: Bed) -> None:
    bed.book.set_identity(1001, ("k8s:app=b",))
    assert bed.endpoint("10.0.0.1", 1001) == replace(POD, identity=1001, labels=("k8s:app=b",))
    # Nobody told its labels: a local endpoint keeps its own.
    assert bed.endpoint("10.0.0.1", 1002) == replace(POD, identity=1002)
    assert bed.endpoint("10.0.0.1", 1) == replace(POD, identity=1, labels=("reserved:host",))
    found = bed.endpoint("192.0.2.1", 1001)
    assert found is not None
    assert (found.identity, found.labels, found.cluster_name) == (1001, ("k8s:app=b",), "default")
    assert found.pod_name == ""


def test_overrides_follow_changes(bed: Bed) -> None:
    address = address_bytes(ip_address("10.0.0.1"))
    assert bed.endpoint("10.0.0.1", 1001) == replace(POD, identity=1001)
    bed.book.set_identity(1001, ("k8s:app=new",))
    assert bed.endpoint("10.0.0.1", 1001) == replace(POD, identity=1001, labels=("k8s:app=new",))
    bed.book.remove_identity(1001)
    assert bed.endpoint("10.0.0.1", 1001) == replace(POD, identity=1001)
    bed.book.set_endpoint(address, replace(POD, pod_name="a-2"))
    assert bed.endpoint("10.0.0.1", 1001) == replace(POD, identity=1001, pod_name="a-2")


def test_a_removed_address_is_the_world_again(bed: Bed) -> None:
    bed.book.remove(address_bytes(ip_address("10.0.0.1")))
    bed.book.remove(address_bytes(ip_address("10.9.9.9")))
    found = bed.endpoint("10.0.0.1")
    assert found is not None
    assert found.identity == 2
    assert bed.endpoint("fd00::1") == POD
    assert bed.book.endpoint_ids(bed.entry("10.0.0.1")).tolist() == [0]


def test_nothing_is_held_for_what_is_gone(bed: Bed) -> None:
    bed.book.remove(address_bytes(ip_address("10.0.0.1")))
    bed.book.remove(address_bytes(ip_address("fd00::1")))
    values = [endpoint for _, endpoint in bed.interns.endpoints.items()]
    assert [endpoint.identity for endpoint in values] == [2]


def test_an_override_is_forgotten_with_its_last_row(bed: Bed) -> None:
    endpoints = bed.interns.endpoints
    identities = np.array([1001], np.uint32)
    ref = bed.book.endpoint_refs(bed.entry("10.0.0.1"), identities)
    endpoints.retain(ref)
    endpoints.release(ref)
    other = endpoints.ref(replace(POD, pod_name="takes the number"))
    assert other == ref[0]
    endpoints.pin(other)
    assert bed.endpoint("10.0.0.1", 1001) == replace(POD, identity=1001)


def test_endpoint_ids(bed: Bed) -> None:
    assert bed.book.endpoint_ids(bed.entry("10.0.0.1")).tolist() == [7]
    assert bed.book.endpoint_ids(bed.entry("10.0.0.9")).tolist() == [0]


def test_services_by_port_then_any(bed: Bed) -> None:
    address = address_bytes(ip_address("10.96.0.10"))
    dns, whole = Service(namespace="kube-system", name="dns"), Service(namespace="x", name="whole")
    bed.book.set_service(address, 53, 17, dns)
    assert bed.service("10.96.0.10", 53, 17) == dns
    assert bed.service("10.96.0.10", 53, 6) is None
    bed.book.set_service(address, 0, 0, whole)
    assert bed.service("10.96.0.10", 53, 17) == dns
    assert bed.service("10.96.0.10", 53, 6) == whole
    assert bed.service("10.96.0.11", 53, 17) is None
    bed.book.remove_service(address, 53, 17)
    assert bed.service("10.96.0.10", 53, 17) == whole
    bed.book.remove_service(address, 0, 0)
    bed.book.remove_service(address, 0, 0)
    assert bed.service("10.96.0.10", 53, 17) is None
    assert len(bed.interns.services) == 0


def test_a_service_and_an_endpoint_at_one_address(bed: Bed) -> None:
    address = address_bytes(ip_address("10.0.0.1"))
    service = Service(namespace="a", name="b")
    bed.book.set_service(address, 80, 6, service)
    bed.book.remove(address)
    assert bed.service("10.0.0.1", 80, 6) == service
    found = bed.endpoint("10.0.0.1")
    assert found is not None
    assert found.identity == 2


def test_interfaces(bed: Bed) -> None:
    bed.book.set_interface(300, "lxc1")
    assert bed.interface(300) == Interface(index=300, name="lxc1")
    bed.book.set_interface(300, "lxc2")
    assert bed.interface(300) == Interface(index=300, name="lxc2")
    bed.book.remove_interface(300)
    bed.book.remove_interface(99_999)
    assert bed.interface(300) == Interface(index=300, name="")
    assert bed.interface((1 << 32) - 1) == Interface(index=(1 << 32) - 1, name="")
    assert bed.interface(0) is None
    with pytest.raises(ValueError, match="index out of range, got 1048576"):
        bed.book.set_interface(1 << 20, "far")


def test_rules(bed: Bed) -> None:
    policy = PolicyRef(kind="NetworkPolicy", namespace="a", name="b", labels=(), revision=3)
    bed.book.set_rule(9, (policy,))
    refs = bed.book.policy_refs(np.array([9, 8, 0], np.uint32))
    assert bed.interns.policies[int(refs[0])] == (policy,)
    assert refs[1:].tolist() == [0, 0]
    bed.book.remove_rule(9)
    assert len(bed.interns.policies) == 0


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.one_of(st.none(), st.integers(1000, 1004))), max_size=120
    )
)
def test_a_book_is_a_dict_of_addresses(changes: list[tuple[int, int | None]]) -> None:
    bed, model = Bed(), dict[int, Endpoint]()
    for number, identity in changes:
        address = address_bytes(ip_address("10.1.0.0") + number)
        if identity is None:
            bed.book.remove(address)
            model.pop(number, None)
        else:
            model[number] = replace(POD, identity=identity)
            bed.book.set_endpoint(address, model[number])
    for number in range(31):
        found = bed.endpoint(str(ip_address("10.1.0.0") + number))
        assert found is not None
        assert found == model[number] if number in model else found.identity == 2
    assert len(bed.interns.endpoints) == len(set(model.values())) + 1
