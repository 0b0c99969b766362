from ipaddress import ip_address

import pytest

from observer.entities import address_bytes, address_text, reserved_labels


@pytest.mark.parametrize(
    ("text", "raw"),
    [
        ("10.0.0.1", "00000000000000000000ffff0a000001"),
        ("0.0.0.0", "00000000000000000000ffff00000000"),
        ("fd00::1", "fd000000000000000000000000000001"),
        ("::1", "00000000000000000000000000000001"),
        ("::", "00000000000000000000000000000000"),
    ],
)
def test_addresses_there_and_back(text: str, raw: str) -> None:
    assert address_bytes(ip_address(text)).hex() == raw
    assert address_text(bytes.fromhex(raw)) == text


def test_reserved_labels() -> None:
    assert reserved_labels(2) == ("reserved:world",)
    assert reserved_labels(6) == ("reserved:remote-node",)
    assert reserved_labels(255) == ()
    assert reserved_labels(1000) == ()
