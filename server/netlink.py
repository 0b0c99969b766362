"""rtnetlink, as much of it as finding pods' interfaces needs: dumps and change notices.

In: a network namespace. Out: messages of a dump as (header, attributes), and a socket that becomes
readable when links, addresses, routes or neighbours change. The kinds of messages are here, how to
speak is in `observer.kernel.netlink`. Formats: rtnetlink(7); native byte order. Next:
server.interfaces.
"""

from __future__ import annotations

from observer.kernel.netlink import ATTRIBUTE as ATTRIBUTE
from observer.kernel.netlink import HEADER as HEADER
from observer.kernel.netlink import RECEIVE_BYTES as RECEIVE_BYTES
from observer.kernel.netlink import Message as Message
from observer.kernel.netlink import Requests as Requests
from observer.kernel.netlink import attribute as attribute
from observer.kernel.netlink import attributes as attributes
from observer.kernel.netlink import open_socket as open_socket
from observer.kernel.netlink import parse as parse

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_GETADDR = 20, 22
RTM_NEWROUTE, RTM_GETROUTE = 24, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30

RTMGRP_LINK, RTMGRP_NEIGH = 0x1, 0x4
RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE = 0x10, 0x40
RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE = 0x100, 0x400
CHANGES = (
    RTMGRP_LINK
    | RTMGRP_NEIGH
    | RTMGRP_IPV4_IFADDR
    | RTMGRP_IPV4_ROUTE
    | RTMGRP_IPV6_IFADDR
    | RTMGRP_IPV6_ROUTE
)
