"""Addresses as peer services tell them."""

import pytest

from api.proto.peer.peer_pb2 import TLS, ChangeNotification
from relay.nodes.peer import Peer, target_of


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("10.0.0.1", "10.0.0.1:4244"),
        ("10.0.0.1:5000", "10.0.0.1:5000"),
        ("fd00::1", "[fd00::1]:4244"),
        ("[fd00::1]", "[fd00::1]:4244"),
        ("[fd00::1]:5000", "[fd00::1]:5000"),
        ("node.example:4244", "node.example:4244"),
        ("/run/hubble.sock", "unix:///run/hubble.sock"),
        ("unix:///run/hubble.sock", "unix:///run/hubble.sock"),
        ("", None),
        ("node.example", None),
        ("10.0.0.1:99999", None),
        (":4244", None),
        ("10.0.0.1:0", None),
    ],
)
def test_where_to_dial(address: str, target: str | None) -> None:
    assert target_of(address) == target


def test_what_a_notification_says() -> None:
    change = ChangeNotification(name="n", address="10.0.0.1")
    assert Peer.of(change) == Peer(name="n", address="10.0.0.1", server_name=None)
    change.tls.CopyFrom(TLS(server_name="n.example"))
    assert Peer.of(change).server_name == "n.example"
