"""Paths of URLs that requests were made with."""

import pytest

from observer.decode.flows_json.urls import request_path


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://deathstar/v1/", "/v1/"),
        ("http://deathstar.default.svc:8080/v1/a?b=c", "/v1/a"),
        ("http://u:p@h/x", "/x"),
        ("http://[::1]:80/x", "/x"),
        ("http://h", ""),
        ("http://h?q", ""),
        ("/v1/a", "/v1/a"),
        ("/a%2Fb%20c", "/a/b c"),
        ("//h/a", "//h/a"),
        ("/a#b", "/a#b"),
        ("/?x", "/"),
        ("*", "*"),
        ("mailto:a@b", ""),
        ("", None),
        ("v1/a", None),
        ("h:80a/x y", ""),
        ("/a\nb", None),
        ("/%", None),
        ("/%g0", None),
        ("http://h:x/a", None),
        (":80/", None),
    ],
)
def test_request_path(url: str, path: str | None) -> None:
    assert request_path(url) == path
