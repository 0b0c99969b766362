"""Pods that come and go: a cluster whose every pod is replaced before each batch of events.

A replacement keeps the address and nothing else: name and a label are new, so rows, intern tables,
encoded fragments and filters meet values that they have never seen, and must let go of those that
have left the table. Runs in a process of its own, so that its memory is nobody else's.
"""

import multiprocessing
import os
from dataclasses import replace
from typing import Final

import numpy as np

from api.proto.flow.flow_pb2 import FlowFilter
from bench.errors import WrongAnswerError
from bench.ingest_node import SEED, IngestNode
from bench.processes import usage
from bench.workload import ENDPOINTS, SyntheticNode
from observer.encode import FlowEncoder
from observer.filters import compile_filters
from observer.table.ring import FlowTable

CAPACITY: Final = 4_095
_BATCH: Final = 4_096
_READ_ROWS: Final = 1_024
_LATEST_S: Final = 600.0


def growth_bytes(pods: int) -> int:
    """Let so many pods pass: how much private memory grew after the first tenth of them.

    Raises:
        WrongAnswerError: pods that no row shows are kept, or it takes too long.
    """
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        try:
            return pool.apply_async(_measured, (pods,)).get(_LATEST_S)
        except multiprocessing.TimeoutError as error:
            raise WrongAnswerError(f"let {pods} pods pass: not done in time") from error


def _measured(pods: int) -> int:
    churn = Churn()
    churn.let_pass(pods // 10)
    before = usage(os.getpid()).private_bytes
    churn.let_pass(pods - pods // 10)
    return usage(os.getpid()).private_bytes - before


class Churn:
    """A node in such a cluster, its encoder, and somebody who asks."""

    def __init__(self) -> None:
        self._source = SyntheticNode(SEED)
        self._node = IngestNode.of(self._source, capacity=CAPACITY)
        table = self._node.table
        self._encoder = FlowEncoder(
            table, table.interns, node_name="bench/node", emitter=("bench", "1")
        )
        self._passed = 0

    @property
    def table(self) -> FlowTable:
        """The rows."""
        return self._node.table

    def let_pass(self, pods: int) -> None:
        """Replace so many pods, rounded up to whole clusters, with a batch of flows after each.

        Raises:
            WrongAnswerError: more endpoints are held than rows and book can refer to.
        """
        last = self._passed + pods
        while self._passed < last:
            self._replace_all()
            self._node.pipeline.feed(self._source.batch(_BATCH))
            self._read()
            self._check()

    def _replace_all(self) -> None:
        for number, endpoint in enumerate(self._source.endpoints):
            name = f"pod-{self._passed}"
            labels = tuple(sorted((*endpoint.labels, f"k8s:pod={name}")))
            new = replace(endpoint, pod_name=name, labels=labels)
            for ipv6 in (False, True):
                self._node.book.set_endpoint(self._source.address(number, ipv6=ipv6), new)
            self._passed += 1

    def _read(self) -> None:
        """Fill the caches of encoder and filters."""
        table = self.table
        positions = np.arange(table.head - _READ_ROWS, table.head)
        for _ in self._encoder.encode_parts(positions, paths=None, details=False):
            pass
        wanted = FlowFilter(source_label=[f"pod=pod-{self._passed - 1}"])
        compile_filters([wanted], []).mask(table, table.segments(table.oldest, table.head)[0])

    def _check(self) -> None:
        """Each row refers to two endpoints, and so does the book to those that live."""
        held, most = len(self.table.interns.endpoints), 2 * CAPACITY + 4 * ENDPOINTS
        if held > most:
            raise WrongAnswerError(f"{self._passed} pods passed: {held} are kept, at most {most}")
