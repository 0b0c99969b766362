"""TLS of both sides: off, set up, or refused; nothing in between."""

from dataclasses import replace
from pathlib import Path

import pytest

from relay.encryption import towards_clients, towards_nodes
from relay.errors import RelayError
from relay.settings import Settings
from tests.api.lane.certificates import Authority

NOTHING = Settings()
X = Path("x.pem")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (NOTHING, "^no client TLS config is set$"),
        (
            replace(NOTHING, tls_hubble_client_cert_file=X),
            "x.pem is given, tls-hubble-server-ca-files is missing",
        ),
        (
            replace(NOTHING, tls_hubble_server_ca_files=(X,), tls_hubble_client_cert_file=X),
            "certificate x.pem needs a key",
        ),
        (
            replace(NOTHING, tls_hubble_server_ca_files=(X,), tls_hubble_client_key_file=X),
            "key x.pem needs a certificate",
        ),
        (replace(NOTHING, tls_hubble_server_ca_files=(X,)), "x.pem"),
        (
            replace(NOTHING, disable_client_tls=True, tls_hubble_server_ca_files=(X,)),
            "disable-client-tls is given, and tls-hubble-… files too",
        ),
    ],
)
def test_half_a_configuration_towards_nodes_is_refused(settings: Settings, message: str) -> None:
    with pytest.raises(RelayError, match=message):
        towards_nodes(settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (NOTHING, "^no server TLS config is set$"),
        (
            replace(NOTHING, tls_relay_server_cert_file=X),
            "x.pem is given, tls-relay-server-key-file is missing",
        ),
        (
            replace(NOTHING, tls_relay_server_key_file=X),
            "x.pem is given, tls-relay-server-cert-file is missing",
        ),
        (
            replace(NOTHING, tls_relay_client_ca_files=(X,)),
            "x.pem is given, certificate and key is missing",
        ),
        (
            replace(NOTHING, disable_server_tls=True, tls_relay_client_ca_files=(X,)),
            "disable-server-tls is given, and tls-relay-… files too",
        ),
    ],
)
def test_half_a_configuration_towards_clients_is_refused(settings: Settings, message: str) -> None:
    with pytest.raises(RelayError, match=message):
        towards_clients(settings)


def test_off_and_set_up(tmp_path: Path) -> None:
    off = replace(NOTHING, disable_client_tls=True, disable_server_tls=True)
    assert (towards_nodes(off), towards_clients(off)) == (None, None)
    authority = Authority(tmp_path)
    certificate, key = authority.sign("relay", "relay.example")
    whole = replace(
        NOTHING,
        tls_hubble_server_ca_files=(authority.certificate,),
        tls_hubble_client_cert_file=certificate,
        tls_hubble_client_key_file=key,
        tls_relay_server_cert_file=certificate,
        tls_relay_server_key_file=key,
        tls_relay_client_ca_files=(authority.certificate,),
    )
    assert towards_nodes(whole) is not None
    assert towards_clients(whole) is not None
