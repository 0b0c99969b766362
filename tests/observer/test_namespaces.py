"""Namespaces of the last hour."""

import numpy as np

from observer.entities import Endpoint
from observer.namespaces import SeenNamespace, SeenNamespaces
from observer.table.interns import Interns
from observer.table.ring import FlowTable
from observer.table.rows import Rows

HOUR_NS = 3_600 * 10**9


def endpoint(namespace: str, pod_name: str = "p") -> Endpoint:
    return Endpoint(
        endpoint_id=1,
        identity=1,
        cluster_name="elsewhere",
        namespace=namespace,
        labels=(),
        pod_name=pod_name,
        workloads=(),
    )


class Node:
    def __init__(self, capacity: int) -> None:
        self.now_ns = 10**18
        interns = Interns()
        self.table = FlowTable(capacity=capacity, interns=interns, seed=0)
        self.seen = SeenNamespaces(interns, cluster_name="here", wall_ns=lambda: self.now_ns)

    def pass_flows(self, *sides: tuple[str, str]) -> None:
        rows = Rows.zeros(len(sides))
        ref = self.table.interns.endpoints.ref
        for column, side in (("source_ref", 0), ("destination_ref", 1)):
            refs = [ref(endpoint(names[side])) if names[side] != "-" else 0 for names in sides]
            rows.columns[column][:] = np.array(refs)
        self.seen.consume(rows, self.table.append(rows))

    @property
    def names(self) -> list[str]:
        return [each.namespace for each in self.seen.seen()]


def test_both_sides_count_and_names_are_sorted_within_the_own_cluster() -> None:
    node = Node(15)
    node.pass_flows(("shop", "default"), ("", "-"), ("bank", "shop"))
    assert node.seen.seen() == [
        SeenNamespace("here", "bank"),
        SeenNamespace("here", "default"),
        SeenNamespace("here", "shop"),
    ]


def test_nothing_seen_is_an_empty_list() -> None:
    assert Node(15).seen.seen() == []


def test_a_namespace_is_forgotten_an_hour_after_its_last_flow() -> None:
    node = Node(15)
    node.pass_flows(("old", "-"), ("busy", "-"))
    node.now_ns += HOUR_NS // 2
    node.pass_flows(("busy", "-"))
    node.now_ns += HOUR_NS // 2
    assert node.names == ["busy", "old"]
    node.now_ns += 1
    assert node.names == ["busy"]


def test_a_namespace_is_remembered_after_its_rows_are_gone_and_forgotten_in_time() -> None:
    node = Node(1)
    node.pass_flows(("gone", "-"))
    for _ in range(3):
        node.pass_flows(("next", "-"))
    assert len(node.table.interns.endpoints) == 1
    assert node.names == ["gone", "next"]
    node.now_ns += HOUR_NS + 1
    node.pass_flows(("next", "-"))
    assert node.names == ["next"]


def test_a_ref_that_is_used_again_is_the_new_namespace() -> None:
    node = Node(1)
    for name in ("a", "b", "c", "d"):
        node.pass_flows((name, name))
    assert node.names == ["a", "b", "c", "d"]


def test_many_endpoints_of_many_namespaces() -> None:
    node = Node(1023)
    sides = [(f"ns-{n}", f"ns-{n + 1}") for n in range(500)]
    node.pass_flows(*sides)
    assert len(node.names) == 501


def test_a_batch_larger_than_the_table() -> None:
    node = Node(3)
    node.pass_flows(*((f"ns-{n}", "-") for n in range(10)))
    assert node.names == ["ns-7", "ns-8", "ns-9"]
    node.pass_flows(*((f"other-{n}", "-") for n in range(10)))
    assert node.names[-3:] == ["other-7", "other-8", "other-9"]
