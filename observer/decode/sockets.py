"""Read trace-sock events: a socket's address was translated to or from a service's backend.

They carry no packet, and their layout is packed: nothing of the other events' fields applies.
The side that is not named is the socket's owner, known by its process group only.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from observer.decode.headers import TRACED, TRANSLATED
from observer.decode.layout import FLAG_IPV6, TRACE_SOCK
from observer.entities import SocketTranslation
from observer.table.columns import L4Kind
from observer.table.rows import Rows

_PRE_FORWARD: Final = 1
_POST_FORWARD: Final = 2
_PRE_REVERSE: Final = 3
_POST_REVERSE: Final = 4

_VERDICTS: Final = {
    _PRE_FORWARD: TRACED,
    _PRE_REVERSE: TRACED,
    _POST_FORWARD: TRANSLATED,
    _POST_REVERSE: TRANSLATED,
}
_L4_KINDS: Final = {1: L4Kind.TCP, 2: L4Kind.UDP}


def read_sockets(samples: NDArray[np.uint8], which: NDArray[np.intp], rows: Rows) -> None:
    """Overwrite rows of trace-sock events.

    Args:
        samples: uint8, shape (k, SAMPLE_BYTES): the events' samples.
        which: the k rows to overwrite.
        rows: all rows of the batch.
    """
    rows.blank(which)
    events = samples[:, : TRACE_SOCK.itemsize].copy().view(TRACE_SOCK)[:, 0]
    for event, row in zip(events, which.tolist(), strict=True):
        point = int(event["xlate_point"])
        is_ipv6 = bool(event["flags"] & FLAG_IPV6)
        address = event["dst_ip"].tobytes()
        if not is_ipv6:
            address = bytes(10) + b"\xff\xff" + address[:4]
        reverse = point in (_PRE_REVERSE, _POST_REVERSE)
        far = "source" if reverse else "destination"
        values = {
            "kind": int(event["type"]),
            "sub_type": point,
            "verdict": _VERDICTS.get(point, 0),
            "is_reply": -1,
            "ip_version": 2 if is_ipv6 else 1,
            "l4_kind": _L4_KINDS.get(int(event["l4_proto"]), L4Kind.NONE),
            f"{far}_port": int(event["dst_port"]),
        }
        for name, value in values.items():
            rows.columns[name][row] = value
        rows.columns[f"{far}_ip"][row] = np.frombuffer(address, np.uint64)
        translation = SocketTranslation(
            socket_cookie=int(event["sock_cookie"]), cgroup_id=int(event["cgroup_id"])
        )
        rows.add_detail(row, translation)
