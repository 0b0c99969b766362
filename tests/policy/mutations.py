"""Evaluators with one mistake each: a differential test worth its name catches them all."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from policy.compiler import EndpointPolicy
from policy.evaluate import Evaluator, Packets, Verdicts

ICMP, ICMPV6 = 1, 58
Policies = Sequence[EndpointPolicy]
Mutation = Callable[[Policies, Packets], Verdicts]


class WithoutWildcards(Evaluator):
    """Never asks what is said of everybody."""

    def _deciding(self, own: NDArray[np.int64], anyone: NDArray[np.int64]) -> NDArray[np.int64]:
        return own


class LongestWins(Evaluator):
    """Lets the longer of two matches decide, whether it denies or not."""

    def __init__(self, policies: Policies) -> None:
        super().__init__(policies)
        self._real = self._severities

    def _deciding(self, own: NDArray[np.int64], anyone: NDArray[np.int64]) -> NDArray[np.int64]:
        self._severities = np.zeros_like(self._real)
        try:
            return super()._deciding(own, anyone)
        finally:
            self._severities = self._real


class ShortestFirst(Evaluator):
    """Takes the shortest match of an identity instead of the longest."""

    def __init__(self, policies: Policies) -> None:
        super().__init__(policies)
        self._steps = self._steps[::-1]


class AuditDenies(Evaluator):
    """Takes a denial that is only told for one that is done."""

    def __init__(self, policies: Policies) -> None:
        super().__init__(policies)
        self._severities = np.where(self._severities == 1, 2, self._severities).astype(np.int8)


def host_as_anybody(policies: Policies, packets: Packets) -> Verdicts:
    """The node itself is judged as any other node."""
    identity = np.where(packets.identity == 1, 6, packets.identity).astype(np.uint32)
    return Evaluator(policies).judge(replace(packets, identity=identity))


def types_as_none(policies: Policies, packets: Packets) -> Verdicts:
    """The type of ICMP does not count."""
    is_icmp = np.isin(packets.protocol, (ICMP, ICMPV6))
    port = np.where(is_icmp, 0, packets.port).astype(np.uint16)
    return Evaluator(policies).judge(replace(packets, port=port))


def directions_mixed(policies: Policies, packets: Packets) -> Verdicts:
    """What is said of packets that leave is asked of those that come."""
    return Evaluator(policies).judge(replace(packets, direction=3 - packets.direction))


MUTATIONS: dict[str, Mutation] = {
    "without wildcards": lambda policies, packets: WithoutWildcards(policies).judge(packets),
    "longest wins over deny": lambda policies, packets: LongestWins(policies).judge(packets),
    "shortest prefix first": lambda policies, packets: ShortestFirst(policies).judge(packets),
    "audit denies": lambda policies, packets: AuditDenies(policies).judge(packets),
    "host as anybody": host_as_anybody,
    "ICMP types do not count": types_as_none,
    "directions mixed": directions_mixed,
}
