"""CEL expressions as programs: a text in, a function from a flow to yes or no out.

The engine is CEL's own in C++ (package cel-expr-python): it checks types against flow.Flow, and its
regular expressions are RE2. It bounds nesting to 32 levels and one evaluation to 10,000 iterations;
the rest of what an expression may cost is bounded here. It is loaded when the first expression
comes: 10 MB that most servers and command lines never need.
"""

import logging
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from google.protobuf import descriptor_pool

from api.proto.flow.flow_pb2 import Flow
from observer.filters.errors import FilterError

if TYPE_CHECKING:
    from cel_expr_python import cel

logger = logging.getLogger(__name__)

MAX_EXPRESSION_CHARS: Final = 2_048
MAX_SUMS: Final = 8
"""`+` in one expression: each could double a text or a list within nested iterations."""
MAX_EVALUATION_NS: Final = 20_000_000
"""CPU time for one flow; usual ones take 10 µs. The loop waits, so who exceeds it is refused."""

_VARIABLE: Final = "_flow"
_STATUS: Final = re.compile(r"\A[A-Z_]+: | \[[A-Z_]+\]\Z")
_PARAMETERS: Final = str.maketrans("<>", "()")
_TYPE_NAMES: Final = {
    "null": "null_type",
    "timestamp": "google.protobuf.Timestamp",
    "duration": "google.protobuf.Duration",
}


class Program:
    """A compiled expression."""

    def __init__(
        self, text: str, expression: "cel.Expression", clock_ns: Callable[[], int]
    ) -> None:
        self._text = text
        self._eval = expression.eval
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
    """Compiles the expressions of one request."""

    def __init__(self, clock_ns: Callable[[], int] = time.thread_time_ns) -> None:
        self._clock_ns = clock_ns
        self._env: cel.Env | None = None

    def compile(self, text: str) -> Program:
        """Compile one expression.

        Raises:
            FilterError: it is no expression of type bool over `_flow`, or too large.
        """
        if len(text) > MAX_EXPRESSION_CHARS:
            raise _error(f"{len(text)} characters, at most {MAX_EXPRESSION_CHARS}")
        if text.count("+") > MAX_SUMS:
            raise _error(f"{text.count('+')} times '+', at most {MAX_SUMS}: {text}")
        if self._env is None:
            self._env = _environment()
        try:
            expression = self._env.compile(text)
        # The engine's own type for everything, and the text as bytes that may be no UTF-8.
        except (RuntimeError, UnicodeDecodeError) as error:
            raise _error(_STATUS.sub("", str(error))) from error
        type_name = expression.return_type().name()
        if type_name != "BOOL":
            raise _error(f'got "{_go_name(type_name)}", wanted "bool" result type')
        return Program(text, expression, self._clock_ns)


def _environment() -> "cel.Env":
    from cel_expr_python import cel

    return cel.NewEnv(
        descriptor_pool.Default(),
        variables={_VARIABLE: cel.Type(Flow.DESCRIPTOR.full_name)},
        container="flow",
    )


def _error(reason: str) -> FilterError:
    return FilterError(f"error compiling CEL expression: {reason}")


def _go_name(type_name: str) -> str:
    """Name a type as Hubble's engine does: `LIST<STRING>` is `list(string)`."""
    text = type_name.translate(_PARAMETERS)
    words = re.split(r"([(), ]+)", text)
    return "".join(_go_word(word) for word in words)


def _go_word(word: str) -> str:
    lower = word.lower()
    return _TYPE_NAMES.get(lower, lower) if word.isupper() else word
