"""What an expression may cost: an estimate from its syntax, before it runs on any flow.

The engine can be asked for seconds of work in a few characters: loops within loops, texts that
double, regular expressions that are made anew in each turn. It cannot be interrupted, and while it
runs nobody else does. So each operation is given a price in nanoseconds, a little above what it
takes on a slow machine, and each value a size; loops multiply. Values of flows are assumed to be as
large as those of real ones: lists of 24 labels, texts of 64 characters.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from observer.filters.syntax import Call, Constant, Literal, Loop, Name, Node, Select

LIST_ITEMS: Final = 24
TEXT_CHARS: Final = 64
_STEP_NS: Final = 150
_TURN_NS: Final = 250
_ITEM_NS: Final = 40
_CHAR_NS: Final = 0.5
_MESSAGE_NS: Final = 20_000
"""To make or compare one."""
_CONVERSION_NS: Final = 3_000
"""Of texts, times and zones."""
_PATTERN_NS: Final = 2_000
_PATTERN_STATE_NS: Final = 600
_MATCH_CHAR_NS: Final = 50
_ANY_PATTERN_STATES: Final = 1_000_000
"""Of a pattern that is not known before: it may be anything."""
_CLASS_STATES: Final = 300
"""Of a class of Unicode's."""

_COMPARING: Final = frozenset(("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "@in", "_in_"))
_SEARCHING: Final = frozenset(("contains", "startsWith", "endsWith", "size"))
_PLAIN: Final = frozenset(
    ("_&&_", "_||_", "!_", "@not_strictly_false", "_?_:_", "_-_", "_*_", "_/_", "_%_", "-_", "_[_]")
)
_REPEATED: Final = re.compile(r"\{(\d{1,9})(?:,(\d{0,9}))?\}")
_UNICODE_CLASS: Final = re.compile(r"\\[pP]|\[\^|\[\[|\(\?[a-zA-Z]*i|[^\x00-\x7f]|\\[DSWC]|\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a value may be."""

    items: float
    """Of a list; 1 for what is none."""
    chars: float
    """In each of its items."""

    @property
    def weight_ns(self) -> float:
        """What it costs to look at all of it."""
        return self.items * (_ITEM_NS + self.chars * _CHAR_NS)


_SMALL: Final = Size(items=1, chars=1)
_FIELD: Final = Size(items=LIST_ITEMS, chars=TEXT_CHARS)
"""A field may be a list or a text: whichever is larger."""
_TEXT: Final = Size(items=1, chars=TEXT_CHARS)
_FLOW: Final = Size(items=LIST_ITEMS, chars=1_024)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Of one part of an expression."""

    cost_ns: float
    size: Size


Sizes = Mapping[str, Size]


def estimated_ns(node: Node, flow_name: str) -> float:
    """Return what one evaluation may take; the variable of that name is a whole flow."""
    return _estimate(node, {flow_name: _FLOW}).cost_ns


def _estimate(node: Node, sizes: Sizes) -> Estimate:
    match node:
        case Constant():
            chars = len(node.text) if node.text is not None else 1
            return Estimate(cost_ns=_STEP_NS, size=Size(items=1, chars=chars))
        case Name():
            return Estimate(cost_ns=_STEP_NS, size=sizes.get(node.name, _SMALL))
        case Select():
            operand = _estimate(node.operand, sizes)
            return Estimate(cost_ns=operand.cost_ns + _STEP_NS, size=_FIELD)
        case Literal():
            return _literal(node, sizes)
        case Loop():
            return _loop(node, sizes)
        case Call():
            return _call(node, sizes)


def _literal(node: Literal, sizes: Sizes) -> Estimate:
    parts = [_estimate(item, sizes) for item in node.items]
    cost_ns = sum((part.cost_ns for part in parts), _STEP_NS + _ITEM_NS * len(parts))
    # A list within a list counts with all that it has.
    chars = max((part.size.items * part.size.chars for part in parts), default=1.0)
    size = Size(items=max(len(parts), 1), chars=chars)
    return Estimate(cost_ns=cost_ns + (0 if node.is_list else _MESSAGE_NS), size=size)


def _loop(node: Loop, sizes: Sizes) -> Estimate:
    over, start = _estimate(node.range, sizes), _estimate(node.start, sizes)
    inner = {**sizes, node.variable: Size(items=1, chars=over.size.chars), node.sum_name: _SMALL}
    condition, step = _estimate(node.condition, inner), _estimate(node.step, inner)
    turn_ns = _TURN_NS + condition.cost_ns + step.cost_ns
    # What `map` gathers has an item for each turn, as large as the largest.
    size = Size(items=over.size.items, chars=step.size.chars)
    result = _estimate(node.result, {**inner, node.sum_name: size})
    cost_ns = over.cost_ns + start.cost_ns + over.size.items * turn_ns + result.cost_ns
    return Estimate(cost_ns=cost_ns, size=result.size)


def _call(node: Call, sizes: Sizes) -> Estimate:
    parts = [_estimate(argument, sizes) for argument in node.arguments]
    own = _operation(node, [part.size for part in parts])
    return Estimate(cost_ns=sum((part.cost_ns for part in parts), own.cost_ns), size=own.size)


def _operation(node: Call, of: list[Size]) -> Estimate:
    """Return what a call costs beside its arguments, whose sizes are known."""
    weight_ns = sum(size.weight_ns for size in of)
    if node.function in _COMPARING or node.function in _SEARCHING:
        return Estimate(cost_ns=_STEP_NS + weight_ns, size=_SMALL)
    if node.function == "_+_":
        size = Size(items=sum(s.items for s in of), chars=sum(s.chars for s in of))
        return Estimate(cost_ns=_STEP_NS + weight_ns, size=size)
    if node.function == "matches":
        return Estimate(cost_ns=_match_ns(node, of), size=_SMALL)
    if node.function in _PLAIN:
        return Estimate(cost_ns=_STEP_NS, size=_largest(_SMALL, of))
    size = _largest(_TEXT, of)
    return Estimate(cost_ns=_STEP_NS + _CONVERSION_NS + weight_ns, size=size)


def _largest(least: Size, of: list[Size]) -> Size:
    return Size(
        items=max(least.items, *(size.items for size in of)),
        chars=max(least.chars, *(size.chars for size in of)),
    )


def _match_ns(node: Call, of: list[Size]) -> float:
    pattern = node.arguments[-1]
    known = pattern.text if isinstance(pattern, Constant) else None
    states = _ANY_PATTERN_STATES if known is None else _states(known)
    chars = max(size.items * size.chars for size in of[:-1])
    return _PATTERN_NS + states * _PATTERN_STATE_NS + chars * _MATCH_CHAR_NS


def _states(pattern: bytes) -> int:
    """Return how large the machine of a regular expression may become.

    It is made anew for each flow. Repetitions write it out as often as they say, those within
    others multiply; here all of them do.
    """
    text = pattern.decode(errors="replace")
    states = len(text) + _CLASS_STATES // 10 * len(_UNICODE_CLASS.findall(text))
    for least, most in _REPEATED.findall(text):
        states *= max(int(least), int(most or 0), 1)
    return min(states, _ANY_PATTERN_STATES)
