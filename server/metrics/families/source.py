"""What a family is made from, and numbers of endpoints that families ask for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from observer.entities import Endpoint
from observer.table.interns import Interns, InternTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Of one choice of `--metrics`."""

    interns: Interns
    options: Mapping[str, str]


class EndpointTest:
    """Answers to a question about endpoints, by ref."""

    def __init__(self, endpoints: InternTable[Endpoint], test: Callable[[Endpoint], bool]) -> None:
        self._endpoints = endpoints
        self._test = test
        self._answers = np.zeros(64, np.int8)
        """0 not asked yet, 1 no, 2 yes."""
        endpoints.on_freed(self._forget)

    def of(self, refs: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Answer for each ref; no for those that stand for nobody."""
        if self._endpoints.size > len(self._answers):
            grown = np.zeros(2 * self._endpoints.size, np.int8)
            grown[: len(self._answers)] = self._answers
            self._answers = grown
        answers = self._answers[refs]
        unknown = refs[answers == 0]
        if len(unknown):
            for ref in np.unique(unknown).tolist():
                endpoint = self._endpoints.get(ref)
                self._answers[ref] = 1 + (endpoint is not None and self._test(endpoint))
            answers = self._answers[refs]
        yes: NDArray[np.bool_] = answers == 2
        return yes

    def _forget(self, refs: list[int]) -> None:
        self._answers[np.array([ref for ref in refs if ref < len(self._answers)], np.intp)] = 0
