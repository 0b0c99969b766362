"""Certificates for mutual TLS between nodes, relay and command line: `hubble-lab certs FOLDER`.

    ca              signs all others
    server          servers of all nodes, which also tell relays who the peers are
    relay-server    the relay, towards its clients: Hubble's name for it, and localhost
    relay-client    the relay, towards the nodes
    client          people and their tools

Each is a `NAME.crt` and a `NAME.key`, PEM; names and usages are those that Hubble's own have.
Made again in the same folder the authority stays and all others are new, put in the place of the
old ones key first: who reads in between finds two that do not fit, and has to keep what he has.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab.errors import LabError

if TYPE_CHECKING:
    from pathlib import Path

AUTHORITY_NAME = "Leavitt lab CA"
AUTHORITY_DAYS = 3650
RELAY_NAME = "*.hubble-relay.cilium.io"
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
CLIENT_NAME = "hubble-cli"
CLOCK_SKEW = timedelta(minutes=5)
"""Clocks of other machines may be behind by this much."""

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


class Pair(NamedTuple):
    """A certificate and its key."""

    certificate: Path
    key: Path


class Authority(NamedTuple):
    """Who signs."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


class Request(NamedTuple):
    """What a certificate is for."""

    file: str
    names: tuple[str, ...]
    """The first is the subject's; DNS names and IP addresses."""
    usages: tuple[x509.ObjectIdentifier, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """The files in one folder, whether they are there or not."""

    folder: Path

    @property
    def authority(self) -> Path:
        """Whom all trust."""
        return self.folder / "ca.crt"

    @property
    def server(self) -> Pair:
        """Of the servers of all nodes."""
        return self.pair("server")

    @property
    def relay_server(self) -> Pair:
        """Of the relay, for its clients."""
        return self.pair("relay-server")

    @property
    def relay_client(self) -> Pair:
        """Of the relay, for the nodes."""
        return self.pair("relay-client")

    @property
    def client(self) -> Pair:
        """Of people and their tools."""
        return self.pair("client")

    def pair(self, name: str) -> Pair:
        """Give the files of a name."""
        return Pair(self.folder / f"{name}.crt", self.folder / f"{name}.key")


def make_certificates(folder: Path, *, cluster_name: str, days: int) -> TlsFiles:
    """Make all, or all but the authority where it is there already.

    Raises:
        LabError: The folder cannot be written, or holds an authority that cannot sign.
    """
    files = TlsFiles(folder=folder)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        authority = _authority(files)
        for request in _requests(cluster_name):
            key = ec.generate_private_key(ec.SECP256R1())
            _write(files.pair(request.file), _signed(request, key, authority, days), key)
    except OSError as error:
        raise LabError(f"write {error.filename or folder}: {error.strerror}") from None
    return files


def _requests(cluster_name: str) -> tuple[Request, ...]:
    node_name = f"*.{cluster_name.replace('.', '-')}.hubble-grpc.cilium.io"
    return (
        Request("server", (node_name,), (SERVER, CLIENT)),
        Request("relay-server", (RELAY_NAME, *LOCAL_NAMES), (SERVER,)),
        Request("relay-client", (RELAY_NAME,), (CLIENT,)),
        Request("client", (CLIENT_NAME,), (CLIENT,)),
    )


def _authority(files: TlsFiles) -> Authority:
    """Read the authority, or make it where there is none at all."""
    pair = files.pair("ca")
    missing = [path for path in pair if not path.exists()]
    if len(missing) == 1:
        raise LabError(f"read authority {missing[0]}: missing; without it {files.folder} is no use")
    if missing:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _self_signed(key)
        _write(pair, certificate, key)
        return Authority(certificate, key)
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
        read = serialization.load_pem_private_key(pair.key.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise LabError(f"read authority {pair.certificate}: {error}") from None
    if not isinstance(read, ec.EllipticCurvePrivateKey):
        raise LabError(f"read authority {pair.key}: not an elliptic curve key")
    if read.public_key() != certificate.public_key():
        raise LabError(f"read authority {pair.key}: not the key of {pair.certificate}")
    return Authority(certificate, read)


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, AUTHORITY_NAME)])
    return (
        _begun(name, name, key.public_key(), AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _signed(
    request: Request, key: ec.EllipticCurvePrivateKey, authority: Authority, days: int
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, request.names[0])])
    issuer = authority.certificate
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    return (
        _begun(subject, issuer.subject, key.public_key(), days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(request.usages), critical=False)
        .add_extension(issuer_key, critical=False)
        .add_extension(x509.SubjectAlternativeName(map(_name, request.names)), critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _write(pair: Pair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    encoded_key = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    _replace(pair.key, encoded_key, mode=0o600)
    _replace(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)


def _replace(path: Path, content: bytes, *, mode: int) -> None:
    """Put a file in the place of another, whole at once."""
    fresh = path.with_name(f".{path.name}")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=mode)
    fresh.write_bytes(content)
    fresh.rename(path)
