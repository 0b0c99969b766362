"""One sample of each event type and version, as bytes, with the row that it must become."""

import json
from pathlib import Path
from typing import Any

import pytest

from observer.decode.decoder import Decoder
from observer.entities import SocketTranslation, Tunnel
from observer.ledger import Ledger
from observer.table.columns import L4Kind
from tests.observer.decode.batches import make_batch, row

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "events.json").read_text())
TIMES = ("time_ns", "cpu")


@pytest.mark.parametrize("event", GOLDEN, ids=[event["name"] for event in GOLDEN])
def test_event(event: dict[str, Any]) -> None:
    ledger = Ledger()
    rows = Decoder(ledger).decode(make_batch([bytes.fromhex(event["sample"])]))
    assert ledger.snapshot() == ()
    found = {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in row(rows, 0).items()
        if name not in TIMES and (any(value) if isinstance(value, bytes) else value)
    }
    assert found == event["columns"]
    assert rows.raw.identities[:, 0].tolist() == event["identities"]
    assert rows.raw.ifindex[0] == event["ifindex"]
    assert bool(rows.raw.original_set[0]) == ("header_source" in event)
    if "header_source" in event:
        assert rows.raw.header_source[0].tobytes().hex() == event["header_source"]
    assert rows.details == _details(event)


def _details(event: dict[str, Any]) -> dict[int, object]:
    if "tunnel" in event:
        values = dict(event["tunnel"])
        values["source"] = bytes.fromhex(values["source"])
        values["destination"] = bytes.fromhex(values["destination"])
        values["l4_kind"] = L4Kind(values["l4_kind"])
        return {0: Tunnel(**values)}
    if "socket" in event:
        return {0: SocketTranslation(**event["socket"])}
    return {}
