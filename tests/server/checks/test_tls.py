"""TLS files as `check` finds them: usable, unusable, and out of their time."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from server.checks.finding import State
from server.checks.tls import tls_files
from server.settings import Settings


def make(folder: Path, name: str, *, first_day: int = -1, last_day: int = 100) -> tuple[Path, Path]:
    """A certificate that is valid from one day to another, seen from today, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=first_day))
        .not_valid_after(now + timedelta(days=last_day))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.crt", folder / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


def settings(certificate: Path | None, key: Path | None, *authorities: Path) -> Settings:
    return Settings(
        listen_address=":4244",
        tls_cert_file=certificate,
        tls_key_file=key,
        tls_client_ca_files=authorities or None,
    )


def test_files_that_can_be_used(tmp_path: Path) -> None:
    certificate, key = make(tmp_path, "node")
    authority, _ = make(tmp_path, "ca")
    alone = tls_files(settings(certificate, key))
    assert alone.state is State.OK
    assert alone.found.startswith(f"{certificate} until 2")
    assert alone.found.endswith("for any client")
    mutual = tls_files(settings(certificate, key, authority))
    assert (mutual.state, mutual.found.rpartition(", ")[2]) == (
        State.OK,
        "for clients with a certificate",
    )
    assert tls_files(Settings()).state is State.OK


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    certificate, key = make(tmp_path, "node")
    _, other_key = make(tmp_path, "other")
    none, empty = tmp_path / "none.crt", tmp_path / "empty.crt"
    empty.touch()
    for given, said in (
        (settings(none, key), f"load TLS certificate {none}: No such file or directory"),
        (settings(empty, key), f"load TLS certificate {empty}: no PEM certificate"),
        (settings(certificate, none), f"load TLS key {none}: No such file or directory"),
        (settings(certificate, tmp_path), f"load TLS key {tmp_path}: Is a directory"),
        (
            settings(certificate, other_key),
            f"load TLS key {other_key}: not the key of {certificate}",
        ),
        (settings(certificate, key, empty), f"load TLS authorities {empty}: no PEM certificate"),
        (settings(certificate, key, none), f"load TLS authorities {none}: No such file"),
        (settings(None, key), "set up TLS: tls-key-file is given, tls-cert-file is missing"),
    ):
        found = tls_files(given)
        assert found.state is State.BLOCKER
        assert found.found.startswith(said)
        assert found.remedy


@pytest.mark.parametrize(
    ("first_day", "last_day", "said"),
    [
        pytest.param(-10, -1, "CN=late: expired on 2", id="expired"),
        pytest.param(2, 10, "CN=late: not valid before 2", id="not yet"),
        pytest.param(-10, 3, "ends in ", id="soon"),
    ],
)
def test_a_certificate_out_of_its_time_is_a_warning(
    tmp_path: Path, first_day: int, last_day: int, said: str
) -> None:
    certificate, key = make(tmp_path, "late", first_day=first_day, last_day=last_day)
    found = tls_files(settings(certificate, key))
    assert found.state is State.WARNING
    assert str(certificate) in found.found
    assert said in found.found


def test_an_authority_out_of_its_time_is_a_warning(tmp_path: Path) -> None:
    certificate, key = make(tmp_path, "node")
    authority, _ = make(tmp_path, "ca", first_day=-10, last_day=-1)
    found = tls_files(settings(certificate, key, authority))
    assert found.state is State.WARNING
    assert found.found.startswith(f"{authority}: CN=ca: expired on ")
