"""The stations between a sample and a response, made and handed to each other.

    sample ──► decode ──► enrich ──► flow table ──► encode ──► Observer service
                         agent log ──────┘

Live and replayed nodes differ only in where samples and cluster state come from.
"""

import secrets
from dataclasses import dataclass
from typing import Final

from api.version import WIRE_VERSION
from observer.addresses import AddressBook
from observer.agent_log import AgentLog
from observer.decode.decoder import Decoder
from observer.encode.encoder import FlowEncoder
from observer.enrich import Enricher
from observer.ledger import Ledger
from observer.namespaces import SeenNamespaces
from observer.pipeline import Pipeline
from observer.readers import Readers
from observer.table.interns import Interns
from observer.table.ring import FlowTable
from server.metrics.options import choices
from server.metrics.registry import Metrics
from server.node_report import NodeService
from server.observer_service import ObserverService
from server.peers import PeerBook
from server.policy_desk import PolicyDesk
from server.settings import Settings

_EMITTER: Final = "Hubble"
"""The name by which consumers know these flows; the version says who really made them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What is known of one node: everything from sample to response."""

    book: AddressBook
    table: FlowTable
    ledger: Ledger
    pipeline: Pipeline
    metrics: Metrics
    agent_log: AgentLog
    service: ObserverService
    report: NodeService
    peers: PeerBook
    desk: PolicyDesk


def build_node(settings: Settings) -> Node:
    """Make the stations between samples and responses; ServerError if metrics are unknown."""
    interns, ledger = Interns(), Ledger()
    book = AddressBook(interns, cluster_name=settings.cluster_name)
    table = FlowTable(
        capacity=settings.event_buffer_capacity, interns=interns, seed=secrets.randbits(64)
    )
    namespaces = SeenNamespaces(interns, cluster_name=settings.cluster_name)
    encoder = FlowEncoder(
        table,
        interns,
        node_name=f"{settings.cluster_name}/{settings.node_name}",
        emitter=(_EMITTER, WIRE_VERSION),
    )
    metrics = Metrics(choices(settings.metrics or ""), table=table, ledger=ledger)
    pipeline = Pipeline(
        Decoder(ledger), Enricher(book, interns), table, ledger, (namespaces, metrics)
    )
    readers = Readers()
    return Node(
        book=book,
        table=table,
        ledger=ledger,
        pipeline=pipeline,
        metrics=metrics,
        agent_log=AgentLog(table),
        service=ObserverService(
            table=table, encoder=encoder, ledger=ledger, namespaces=namespaces, readers=readers
        ),
        report=NodeService(
            node_name=settings.node_name,
            table=table,
            ledger=ledger,
            pipeline=pipeline,
            readers=readers,
        ),
        peers=PeerBook(
            node_name=settings.node_name,
            cluster_name=settings.cluster_name,
            prefer_ipv6=settings.prefer_ipv6,
        ),
        desk=PolicyDesk(node_name=settings.node_name),
    )
