"""The part of a node that takes samples in: decoder, enricher, table, as the server builds them."""

from dataclasses import dataclass
from typing import Final, Self

from bench.workload import SyntheticNode
from observer.addresses import AddressBook
from observer.decode.decoder import Decoder
from observer.enrich import Enricher
from observer.ledger import Ledger
from observer.pipeline import Pipeline
from observer.table.interns import Interns
from observer.table.ring import FlowTable

SEED: Final = 20_260_101
CAPACITY: Final = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestNode:
    """A pipeline and what it fills."""

    pipeline: Pipeline
    book: AddressBook
    """Knows the synthetic node's cluster."""
    table: FlowTable
    ledger: Ledger

    @classmethod
    def of(cls, node: SyntheticNode, *, capacity: int = CAPACITY) -> Self:
        """Build the stations for a synthetic node's traffic."""
        interns, ledger = Interns(), Ledger()
        table = FlowTable(capacity=capacity, interns=interns, seed=SEED)
        book = node.address_book(interns)
        pipeline = Pipeline(Decoder(ledger), Enricher(book, interns), table, ledger)
        return cls(pipeline=pipeline, book=book, table=table, ledger=ledger)
