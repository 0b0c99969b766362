from pathlib import Path

import pytest

from api.lane.address import Address, TcpAddress, UnixAddress, parse_address


def tcp(host: str, port: int) -> Address:
    return TcpAddress(host=host, port=port)


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("localhost:4245", tcp("localhost", 4245), "localhost:4245"),
        (":4244", tcp("", 4244), ":4244"),
        ("[::1]:0", tcp("::1", 0), "[::1]:0"),
        ("dns:///relay:80", tcp("relay", 80), "relay:80"),
        ("dns://8.8.8.8/relay:80", tcp("relay", 80), "relay:80"),
        ("dns:relay:80", tcp("relay", 80), "relay:80"),
        ("passthrough:///[::1]:65535", tcp("::1", 65535), "[::1]:65535"),
        ("unix:///run/x.sock", UnixAddress(path=Path("/run/x.sock")), "unix:///run/x.sock"),
        ("unix:/run/x.sock", UnixAddress(path=Path("/run/x.sock")), "unix:///run/x.sock"),
        ("unix:x.sock", UnixAddress(path=Path("x.sock")), "unix://x.sock"),
    ],
)
def test_addresses(text: str, address: Address, shown: str) -> None:
    assert parse_address(text) == address
    assert str(parse_address(text)) == shown


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("localhost", "missing port"),
        ("[::1]", "missing port"),
        ("::1:80", "too many colons"),
        ("h:65536", "port '65536' not in 0..65535: 'h:65536'"),
        ("h:-1", "port '-1' not in"),
        ("h:", "port '' not in"),
        ("h:٣", "port '٣' not in"),
        ("unix://", "no path"),
        ("http://h:80", "unknown scheme"),
    ],
)
def test_faults_name_the_text(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as caught:
        parse_address(text)
    assert repr(text) in str(caught.value)
