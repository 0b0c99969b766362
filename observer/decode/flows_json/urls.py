"""The path of a request's URL, as Hubble's filter sees it.

https://host:80/a%20b?q#f   ->   /a b        absolute: after the authority, before the query
/a/b?q                      ->   /a/b        rooted
*                           ->   *
host/path, %zz, a b:        ->   None        no URL of a request
"""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST: Final = re.compile(
    r"(?:[^@]*@)?(?:\[[^\]]*\]|[^:\[\]<>\"\s]*)(?::[0-9]*)?",
)


def request_path(url: str) -> str | None:
    """Return the decoded path; None if the text is no URL of a request."""
    if not url or _CONTROL.search(url):
        return None
    if url == "*":
        return url
    match = _SCHEME.fullmatch(url)
    rest = match[2] if match else url
    rest = rest.partition("?")[0]
    if not rest.startswith("/"):
        # With a scheme the rest may be anything, and is no path.
        return "" if match else None
    if match and rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        if _HOST.fullmatch(authority) is None:
            return None
        rest = slash + path
    if _BAD_ESCAPE.search(rest):
        return None
    return unquote_to_bytes(rest).decode("utf-8", "surrogateescape")
