"""What a relay knows of its nodes beyond Hubble's API: lag, losses, errors, lost connections."""

from api.lane.client import Channel
from api.lane.status import Code, RpcError
from api.proto.leavitt.relay_pb2 import NodeStatusRequest, NodeStatusResponse

_PATH = "/leavitt.Relay/NodeStatus"


async def node_status(channel: Channel, *, timeout_s: float) -> NodeStatusResponse | None:
    """Ask for it; None from servers that do not tell, all but our relay.

    Raises:
        RpcError: any other outcome but an answer.
    """
    try:
        return await channel.unary(
            _PATH, NodeStatusRequest(), NodeStatusResponse, timeout_s=timeout_s
        )
    except RpcError as error:
        if error.code is Code.UNIMPLEMENTED:
            return None
        raise
