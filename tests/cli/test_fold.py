"""`--one-line-per-packet`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format

from api.proto.observer.observer_pb2 import GetFlowsResponse
from cli.fold import OneLinePerPacket

if TYPE_CHECKING:
    from collections.abc import Sequence

DROP, TRACE, VERDICT = 1, 4, 5


class Seen:
    """A printer that writes the type and summary of each flow."""

    def batch(self, messages: Sequence[bytes]) -> str:
        flows = [GetFlowsResponse.FromString(message).flow for message in messages]
        return "".join(f"{flow.event_type.type}:{flow.Summary}|" for flow in flows)

    def finish(self) -> str:
        return ""


def event(kind: int, millisecond: int = 0, *, port: int = 1, **fields: Any) -> bytes:  # noqa: ANN401
    values = {
        "time": f"2026-03-04T05:06:07.{millisecond:03}Z",
        "event_type": {"type": kind},
        "IP": {"source": "1.1.1.1", "destination": "2.2.2.2"},
        "l4": {"TCP": {"source_port": port}},
        "traffic_direction": "INGRESS",
        "Summary": "S",
        **fields,
    }
    return json_format.ParseDict({"flow": values}, GetFlowsResponse()).SerializeToString()


def folded(*batches: list[bytes], as_json: bool = False, settle: bool = False) -> str:
    fold = OneLinePerPacket(Seen(), as_json=as_json, policy_names=False, settle=settle)
    texts = [fold.batch(batch) for batch in batches]
    return "".join(map(str, texts)) + fold.finish()


ALLOWED: dict[str, Any] = {"verdict": "FORWARDED", "policy_match_type": 2}
NAMED = "policy-verdict:L3-L4 INGRESS ALLOWED"


@pytest.mark.parametrize(
    ("events", "text"),
    [
        ([event(VERDICT, **ALLOWED), event(TRACE, 1)], f"4:S; {NAMED}|"),
        ([event(VERDICT, **ALLOWED), event(DROP, 1)], f"1:S; {NAMED}|"),
        ([event(VERDICT, **ALLOWED)] * 2 + [event(TRACE)], f"4:S; {NAMED}; {NAMED}|"),
        ([event(VERDICT, **ALLOWED), event(TRACE, 51)], "5:S|4:S|"),
        ([event(VERDICT, **ALLOWED), event(TRACE, 1, port=2)], "4:S|5:S|"),
        ([event(VERDICT, **ALLOWED), event(TRACE, 1, node_name="n")], "4:S|5:S|"),
        ([event(TRACE), event(VERDICT, 1, **ALLOWED)], "4:S|5:S|"),
        ([event(VERDICT, **ALLOWED)], "5:S|"),
        ([event(TRACE), event(129)], "4:S|129:S|"),
        ([], ""),
    ],
)
def test_folds(events: list[bytes], text: str) -> None:
    assert folded(events) == text
    assert folded(*([each] for each in events)) == text


def test_following_holds_nothing_beyond_a_batch() -> None:
    assert folded([event(VERDICT, **ALLOWED)], [event(TRACE)], settle=True) == "5:S|4:S|"
    assert folded([event(VERDICT, **ALLOWED), event(TRACE)], settle=True) == f"4:S; {NAMED}|"


def test_json_gets_the_policies_and_keeps_its_summary() -> None:
    kept: list[bytes] = []

    class Keep(Seen):
        def batch(self, messages: Sequence[bytes]) -> str:
            kept.extend(messages)
            return ""

    fold = OneLinePerPacket(Keep(), as_json=True, policy_names=False, settle=False)
    policies: dict[str, Any] = {"ingress_allowed_by": [{"name": "x"}]}
    fold.batch([event(VERDICT, **ALLOWED, **policies), event(TRACE)])
    (flow,) = [GetFlowsResponse.FromString(each).flow for each in kept]
    assert (flow.Summary, flow.policy_match_type) == ("S", 2)
    assert [each.name for each in flow.ingress_allowed_by] == ["x"]


def test_waiting_verdicts_are_bounded() -> None:
    events = [event(VERDICT, port=port, **ALLOWED) for port in range(3000)]
    fold = OneLinePerPacket(Seen(), as_json=False, policy_names=False, settle=False)
    assert str(fold.batch(events)).count("|") == 3000 - 1024
    assert fold.finish().count("|") == 1024
