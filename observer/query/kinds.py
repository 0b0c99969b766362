"""Which kinds of rows each RPC sends: flows (with the gaps between them), or events of one kind."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from observer.table import scalars

KindTest = Callable[[NDArray[np.uint8]], NDArray[np.bool_]]
"""Column `kind` → which rows are meant."""


def are_flows(kind: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell flows and gaps from what the agent or the programs say of themselves."""
    flows: NDArray[np.bool_] = (kind != scalars.AGENT) & (kind != scalars.DEBUG)
    return flows


def are_agent_events(kind: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell what the agent did from all else, gaps included: their stream has no room for them."""
    agent: NDArray[np.bool_] = kind == scalars.AGENT
    return agent


def are_debug_events(kind: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell what the programs say of their steps from all else, gaps included as above."""
    debug: NDArray[np.bool_] = kind == scalars.DEBUG
    return debug
