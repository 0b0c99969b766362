"""Flows from JSON lines, as `hubble observe -o json` and exporters write them.

    lines ──► messages (`reader`) ──► columns, made when asked for (`columns`)
                                        └──► the filters of `observer.filters`, and beside them
                                             those on what no column holds (`conditions`)

The same masks judge a file and a live table. What passed is handed on as the message that was
read, not as one made anew from columns. Who prints or stores it is the caller's business.
"""

from observer.decode.flows_json.reader import LineError, ResponseReader
from observer.decode.flows_json.screen import Screen

__all__ = ["LineError", "ResponseReader", "Screen"]
