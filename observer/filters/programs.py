"""CEL expressions as programs: a text in, a function from a flow to yes or no out.

The engine is CEL's own in C++ (package cel-expr-python): it checks types against flow.Flow, and its
regular expressions are RE2. It bounds nesting to 32 levels and one evaluation to 10,000 iterations,
which may be seconds. So what a request may cost is bounded here: its length, before it is compiled,
and the estimate of `cost`, before it runs. The engine is loaded when the first expression comes:
10 MB that most servers and command lines never need.
"""

import logging
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from google.protobuf import descriptor_pool

from api.proto.flow.flow_pb2 import Flow
from observer.filters.cost import estimated_ns
from observer.filters.errors import CostlyFilterError, FilterError
from observer.filters.syntax import SyntaxFormatError, read_syntax

if TYPE_CHECKING:
    from cel_expr_python import cel

logger = logging.getLogger(__name__)

MAX_CHARS: Final = 2_048
"""In all expressions of a request."""
MAX_TOKENS: Final = 256
"""In all expressions of a request: to compile one takes up to 20 µs."""
MAX_ESTIMATE_NS: Final = 2_000_000
"""Of all expressions of a request, for one flow; usual ones are far below 100 µs."""
MAX_EVALUATION_NS: Final = 20_000_000
"""CPU time for one flow; the estimate assumes labels of usual number and length. The loop waits, so
who exceeds it is refused."""

_VARIABLE: Final = "_flow"
_STATUS: Final = re.compile(r"\A[A-Z_]+: | \[[A-Z_]+\]\Z")
_PARAMETERS: Final = str.maketrans("<>", "()")
_TOKEN: Final = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\w+|[^\s\w]""", re.DOTALL)
_RUN_NS: Final = 10_000
"""To begin and end an evaluation."""
_TYPE_NAMES: Final = {
    "null": "null_type",
    "timestamp": "google.protobuf.Timestamp",
    "duration": "google.protobuf.Duration",
}


class Program:
    """A compiled expression."""

    def __init__(
        self,
        text: str,
        expression: "cel.Expression",
        clock_ns: Callable[[], int],
        *,
        estimated_ns: float,
    ) -> None:
        self._text = text
        self._eval = expression.eval
        self.cost_ns = _RUN_NS + int(estimated_ns)
        """What one evaluation may take."""
        self._clock_ns = clock_ns
        self.failure_count = 0
        """Flows for which it failed, such as for a value that is not set."""

    def __call__(self, flow: Flow) -> bool:
        """Evaluate it; where it fails there is no match, and the first time a line in the log.

        Raises:
            FilterError: it takes so long that others would have to wait.
        """
        began_ns = self._clock_ns()
        result, reason = None, "no value"
        try:
            result = self._eval(data={_VARIABLE: flow}).value()
        # The engine's own type for everything.
        except RuntimeError as error:
            reason = _STATUS.sub("", str(error))
        took_ns = self._clock_ns() - began_ns
        if took_ns > MAX_EVALUATION_NS:
            raise FilterError(
                f"error running CEL program: {took_ns // 1_000_000} ms for one flow, at most "
                f"{MAX_EVALUATION_NS // 1_000_000}: {self._text}"
            )
        if isinstance(result, bool):
            return result
        if not self.failure_count:
            shown = reason if result is None else _STATUS.sub("", str(result))
            logger.error("error running CEL program expression=%r error=%s", self._text, shown)
        self.failure_count += 1
        return False


class Compiler:
    """Compiles the expressions of one request, which share what they may cost."""

    def __init__(self, clock_ns: Callable[[], int] = time.thread_time_ns) -> None:
        self._clock_ns = clock_ns
        self._env: cel.Env | None = None
        self._char_count = self._token_count = 0
        self._estimate_ns = 0.0

    def compile(self, text: str) -> Program:
        """Compile one expression.

        Raises:
            FilterError: it is no expression of type bool over `_flow`.
            CostlyFilterError: it is too large, or may take too long; so do all of the request.
        """
        self._count(text)
        if self._env is None:
            self._env = _environment()
        try:
            expression = self._env.compile(text)
            serialized = expression.serialize()
        # The engine's own type for everything, and the text as bytes that may be no UTF-8.
        except (RuntimeError, UnicodeDecodeError) as error:
            raise _error(_STATUS.sub("", str(error))) from error
        type_name = expression.return_type().name()
        if type_name != "BOOL":
            raise _error(f'got "{_go_name(type_name)}", wanted "bool" result type')
        estimate_ns = self._estimate(text, serialized)
        return Program(text, expression, self._clock_ns, estimated_ns=estimate_ns)

    def _count(self, text: str) -> None:
        self._char_count += len(text)
        if self._char_count > MAX_CHARS:
            raise _costly(f"{self._char_count} characters in one request, at most {MAX_CHARS}")
        self._token_count += len(_TOKEN.findall(text))
        if self._token_count > MAX_TOKENS:
            reason = f"{self._token_count} words and signs in one request, at most {MAX_TOKENS}"
            raise _costly(f"{reason}: {text}")

    def _estimate(self, text: str, serialized: bytes) -> float:
        try:
            estimate_ns = estimated_ns(read_syntax(serialized), _VARIABLE)
        except SyntaxFormatError as error:  # of another version of the engine
            raise _error(str(error)) from error
        self._estimate_ns += estimate_ns
        if self._estimate_ns > MAX_ESTIMATE_NS:
            may_ms, most_ms = self._estimate_ns / 1e6, MAX_ESTIMATE_NS / 1e6
            raise _costly(
                f"may take {may_ms:.1f} ms for one flow, at most {most_ms:.0f} in one request "
                f"(loops in loops, patterns that are long or not constant): {text}"
            )
        return estimate_ns


def _environment() -> "cel.Env":
    from cel_expr_python import cel

    return cel.NewEnv(
        descriptor_pool.Default(),
        variables={_VARIABLE: cel.Type(Flow.DESCRIPTOR.full_name)},
        container="flow",
    )


def _error(reason: str) -> FilterError:
    return FilterError(f"error compiling CEL expression: {reason}")


def _costly(reason: str) -> CostlyFilterError:
    return CostlyFilterError(f"error compiling CEL expression: {reason}")


def _go_name(type_name: str) -> str:
    """Name a type as Hubble's engine does: `LIST<STRING>` is `list(string)`."""
    text = type_name.translate(_PARAMETERS)
    words = re.split(r"([(), ]+)", text)
    return "".join(_go_word(word) for word in words)


def _go_word(word: str) -> str:
    lower = word.lower()
    return _TYPE_NAMES.get(lower, lower) if word.isupper() else word
