"""`--one-line-per-packet`: the verdicts on a packet shown with what became of it.

A verdict and the trace or drop that follows tell of the same packet if node, addresses and
transport header agree and 50 ms or less lie between. The later one is kept, and its summary ends
with the verdicts; in JSON, where summaries are data, it gets their policies instead. A verdict
that nothing follows stays a line of its own, up to 50 ms late. At most 1,024 verdicts wait.
"""

from collections.abc import Sequence

from api.proto.flow.flow_pb2 import Flow
from api.proto.observer.observer_pb2 import GetFlowsResponse
from cli.names import EVENT_DROP, EVENT_POLICY_VERDICT, EVENT_TRACE
from cli.printers.choice import Printer
from cli.printers.color import palette
from cli.printers.flowtext import FlowText, TextOptions
from cli.times import SECOND_NS

_WINDOW_NS = 50_000_000
_WAITING = 1_024
_POLICIES = ("egress_allowed_by", "ingress_allowed_by", "egress_denied_by", "ingress_denied_by")

Key = tuple[str, bytes]


class OneLinePerPacket:
    """Folds verdicts into the events that follow them, in front of another printer."""

    def __init__(self, inner: Printer, *, as_json: bool, policy_names: bool, settle: bool) -> None:
        """Take the printer; with `settle` nothing waits beyond its batch, as for --follow."""
        self._inner = inner
        self._as_json = as_json
        self._settle = settle
        options = TextOptions(policy_names=policy_names)
        self._text = FlowText(options, palette(colored=False))
        self._waiting: list[tuple[Key, GetFlowsResponse]] = []

    def batch(self, messages: Sequence[bytes]) -> str | bytes:
        """Print a batch, folded; raises DecodeError on bytes that are no response."""
        out: list[bytes] = []
        for message in messages:
            self._take(GetFlowsResponse.FromString(message), out)
        if self._settle:
            self._release(len(self._waiting), out)
        return self._inner.batch(out)

    def finish(self) -> str:
        """Print the verdicts that wait, and what the printer held back."""
        out: list[bytes] = []
        self._release(len(self._waiting), out)
        texts = self._inner.batch(out), self._inner.finish()
        return "".join(text if isinstance(text, str) else text.decode() for text in texts)

    def _take(self, response: GetFlowsResponse, out: list[bytes]) -> None:
        flow = response.flow
        self._release_before(_time_ns(flow) - _WINDOW_NS, out)
        if flow.event_type.type == EVENT_POLICY_VERDICT:
            self._waiting.append((_key(flow), response))
            self._release(len(self._waiting) - _WAITING, out)
            return
        if flow.event_type.type in (EVENT_TRACE, EVENT_DROP):
            self._fold(_key(flow), flow)
        out.append(response.SerializeToString())

    def _fold(self, key: Key, flow: Flow) -> None:
        found = [verdict.flow for other, verdict in self._waiting if other == key]
        if not found:
            return
        self._waiting = [each for each in self._waiting if each[0] != key]
        for verdict in found:
            if self._as_json:
                flow.policy_match_type = verdict.policy_match_type
                for name in _POLICIES:
                    getattr(flow, name).extend(getattr(verdict, name))
            else:
                flow.Summary = f"{flow.Summary}; {' '.join(self._text.judgement(verdict))}"

    def _release_before(self, time_ns: int, out: list[bytes]) -> None:
        count = 0
        while count < len(self._waiting) and _time_ns(self._waiting[count][1].flow) < time_ns:
            count += 1
        self._release(count, out)

    def _release(self, count: int, out: list[bytes]) -> None:
        if count > 0:
            out.extend(verdict.SerializeToString() for _, verdict in self._waiting[:count])
            del self._waiting[:count]


def _key(flow: Flow) -> Key:
    ends = f"{flow.node_name} {flow.IP.source} {flow.IP.destination}"
    return ends, flow.l4.SerializeToString(deterministic=True)


def _time_ns(flow: Flow) -> int:
    return flow.time.seconds * SECOND_NS + flow.time.nanos
