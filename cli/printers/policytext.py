"""Policies and judgements of packets, as text or JSON.

In: messages of leavitt.Policies. Out: what `hubble policy` prints.
"""

import json
from collections.abc import Iterable, Iterator, Sequence

from google.protobuf.message import Message

from api.proto.flow.flow_pb2 import TrafficDirection
from api.proto.leavitt.policy_pb2 import (
    ConsideredRule,
    JudgedParty,
    JudgeRequest,
    JudgeResponse,
    ListPoliciesResponse,
    NetworkPolicy,
    PolicyDecision,
    PolicyJudgement,
    PolicyRule,
    PolicyRuleRef,
    PolicySection,
)
from cli.policyport import port_text
from cli.printers.color import palette
from cli.printers.grid import grid
from cli.wirejson.writer import Writers

_WORDS = {
    PolicyDecision.POLICY_FREE: "not enforced",
    PolicyDecision.POLICY_ALLOWED: "ALLOWED",
    PolicyDecision.POLICY_DENIED: "DENIED",
    PolicyDecision.POLICY_AUDITED: "AUDITED",
}
_MATCHES = ("none", "L3-Only", "L3-L4", "L4-Only", "all", "L3-Proto", "Proto-Only")
_HEADS = ("KIND", "NAMESPACE", "NAME", "PODS", "RULES", "REVISION", "MODE")


def policies_text(output: str, response: ListPoliciesResponse) -> str:
    """Write the list of policies, and below it what cannot be honoured."""
    if output == "json":
        return _json(response)
    rows = [_HEADS, *map(_row, response.policies)]
    lines = [f"problem: {problem}\n" for problem in response.problems]
    return _plain(grid(rows) + "".join(lines))


def policy_text(output: str, policies: Sequence[NetworkPolicy]) -> str:
    """Write policies with their rules."""
    if output == "json":
        return "".join(map(_json, policies))
    return _plain("\n".join("".join(_policy_lines(policy)) for policy in policies))


def judgement_text(
    output: str, request: JudgeRequest, response: JudgeResponse, *, is_long: bool
) -> str:
    """Write what becomes of a packet; long: with all rules that were considered."""
    if output == "json":
        return _json(response)
    ends = f"{_party(response.source)} -> {_party(response.destination)}"
    port = port_text(request.protocol, request.port)
    lines = [f"{ends} {port} {_outcome(response)}\n"]
    for word, party, field in (
        ("EGRESS", response.source, "egress"),
        ("INGRESS", response.destination, "ingress"),
    ):
        if response.HasField(field):
            judgement = getattr(response, field)
            lines.append(f"  {word} of {party.name}: {_judgement(judgement)}\n")
            lines += _reasons(judgement, is_long=is_long)
    return _plain("".join(lines))


def _outcome(response: JudgeResponse) -> str:
    decisions = {response.egress.decision, response.ingress.decision}
    for decision in (PolicyDecision.POLICY_DENIED, PolicyDecision.POLICY_AUDITED):
        if decision in decisions:
            return _WORDS[decision]
    return _WORDS[PolicyDecision.POLICY_ALLOWED]


def _judgement(judgement: PolicyJudgement) -> str:
    word = _WORDS.get(judgement.decision, "unknown")
    if judgement.decision == PolicyDecision.POLICY_FREE:
        return "not enforced, everything passes"
    names = _names(judgement.decided_by)
    matches = judgement.match_type
    match = _MATCHES[matches] if matches < len(_MATCHES) else str(matches)
    by = f" BY {names}" if names else ""
    isolated = judgement.decision != PolicyDecision.POLICY_ALLOWED and not judgement.match_type
    why = ", which isolates it; no rule allows the packet" if isolated and names else ""
    return f"{word}{by}{why} (policy-verdict:{match})"


def _names(rules: Iterable[PolicyRuleRef]) -> str:
    return ", ".join(f"{rule.name} ({rule.kind}) {rule.path}" for rule in rules)


def _reasons(judgement: PolicyJudgement, *, is_long: bool) -> Iterator[str]:
    for each in judgement.considered:
        if is_long:
            yield f"    {_considered(each)}\n"
        elif each.nearest:
            yield f"    nearest: {_considered(each)}\n"
    if judgement.advice:
        yield f"    to let it pass: {judgement.advice}\n"


def _considered(each: ConsideredRule) -> str:
    verb = "denies" if each.deny else "allows"
    name = f"{each.rule.name} ({each.rule.kind}) {each.rule.path}"
    audited = ", audited" if each.audited else ""
    return f"{name} {verb}{audited}: {each.reason or 'it is about this packet'}"


def _party(party: JudgedParty) -> str:
    reserved = [label for label in party.labels if label.startswith("reserved:")]
    who = reserved[0].removeprefix("reserved:") if reserved else f"ID:{party.identity}"
    first = f", first of {party.alike}" if party.alike > 1 else ""
    return f"{party.name} ({who}{first})"


def _row(policy: NetworkPolicy) -> tuple[str, ...]:
    pods = {pod for section in policy.sections for pod in section.pods}
    rules = sum(len(section.rules) for section in policy.sections)
    mode = "audit" if policy.audited else "enforce"
    counts = (str(len(pods)), str(rules), str(policy.revision))
    return (policy.kind, policy.namespace or "-", policy.name, *counts, mode)


def _policy_lines(policy: NetworkPolicy) -> Iterator[str]:
    path = f"{policy.namespace}/{policy.name}" if policy.namespace else policy.name
    mode = ", only audited" if policy.audited else ""
    yield f"{policy.kind} {path} (revision {policy.revision}{mode})\n"
    for section in policy.sections:
        yield from _section_lines(section)


def _section_lines(section: PolicySection) -> Iterator[str]:
    isolates = " and ".join(TrafficDirection.Name(each).lower() for each in section.isolates)
    yield f"  {section.path} selects: {', '.join(section.pods) or 'no pod'}\n"
    yield f"  {section.path} isolates: {isolates or 'nowhere'}\n"
    for rule in section.rules:
        yield f"    {rule.path}: {_rule(rule)}\n"


def _rule(rule: PolicyRule) -> str:
    verb = "denies" if rule.deny else "allows"
    if rule.nobody:
        return f"{verb} nobody"
    word = "from" if rule.direction == TrafficDirection.INGRESS else "to"
    peers = " or ".join(f"({peer})" for peer in rule.peers) or "everybody"
    ports = f" on {', '.join(rule.ports)}" if rule.ports else ""
    return f"{verb} {word} {peers}{ports}"


def _json(message: Message) -> str:
    text = Writers().of(message.DESCRIPTOR)(message.SerializeToString())
    return json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"


def _plain(text: str) -> str:
    return palette(colored=False).neutralise(text)
