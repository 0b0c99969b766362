"""What a node says of itself beyond Hubble's API: losses, problems; a relay adds its nodes up."""

from api.lane.client import Channel
from api.lane.status import Code, RpcError
from api.proto.leavitt.node_pb2 import NodeReport, ReportRequest

_PATH = "/leavitt.Node/Report"


async def node_report(channel: Channel, *, per_node: bool, timeout_s: float) -> NodeReport | None:
    """Ask for it; None from servers that do not tell, all but ours.

    Raises:
        RpcError: any other outcome but an answer.
    """
    try:
        return await channel.unary(
            _PATH, ReportRequest(per_node=per_node), NodeReport, timeout_s=timeout_s
        )
    except RpcError as error:
        if error.code is Code.UNIMPLEMENTED:
            return None
        raise
