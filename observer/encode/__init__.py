"""Encoding: rows of the flow table in, GetFlowsResponse messages out, ready for the wire.

Most of a flow repeats from row to row, so it is encoded once and joined (`fragments`); what
differs in each row has a fixed width and is written by NumPy (`head`). `encoder` puts them
together; `observer.query` is the user.
"""

from observer.encode.agent import AgentEncoder
from observer.encode.debug import DebugEncoder
from observer.encode.encoder import FlowEncoder
from observer.encode.masks import FieldMask, FieldMaskError

__all__ = ["AgentEncoder", "DebugEncoder", "FieldMask", "FieldMaskError", "FlowEncoder"]
