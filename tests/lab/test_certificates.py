"""Certificates: whom they name, what they are for, and that they work together."""

from __future__ import annotations

import ssl
import stat
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from api.lane.client import Channel
from api.lane.health import Health
from api.lane.server import Server
from api.lane.service import service_methods
from api.lane.status import RpcError
from api.lane.tls import ClientTls, ServerTls
from api.proto.health import health_pb2
from lab.app import main
from lab.certificates import TlsFiles, make_certificates
from lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
NAMES = ("server", "relay-server", "relay-client", "client")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    folder = tmp_path_factory.mktemp("tls")
    return make_certificates(folder, cluster_name="default", days=7)


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


@pytest.mark.parametrize(
    ("name", "names", "usages"),
    [
        ("server", ["*.default.hubble-grpc.cilium.io"], {SERVER, CLIENT}),
        (
            "relay-server",
            ["*.hubble-relay.cilium.io", "localhost", "127.0.0.1", "::1"],
            {SERVER},
        ),
        ("relay-client", ["*.hubble-relay.cilium.io"], {CLIENT}),
        ("client", ["hubble-cli"], {CLIENT}),
    ],
)
def test_names_and_usages(
    files: TlsFiles, name: str, names: list[str], usages: set[x509.ObjectIdentifier]
) -> None:
    certificate = read(files.pair(name).certificate)
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    (subject,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    used = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value

    assert [str(each.value) for each in found] == names
    assert subject.value == names[0]
    assert set(used) == usages
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days == 7
    certificate.verify_directly_issued_by(read(files.authority))


def test_dots_of_a_cluster_become_dashes(tmp_path: Path) -> None:
    made = make_certificates(tmp_path, cluster_name="eu.west", days=1)
    names = read(made.server.certificate).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["*.eu-west.hubble-grpc.cilium.io"]


def test_keys_are_for_their_owner_alone(files: TlsFiles) -> None:
    for name in ("ca", *NAMES):
        assert stat.S_IMODE(files.pair(name).key.stat().st_mode) == 0o600
    assert not list(files.folder.glob(".*"))


def test_made_again_only_the_authority_stays(tmp_path: Path) -> None:
    first = make_certificates(tmp_path, cluster_name="default", days=1)
    before = {path.name: path.read_bytes() for path in first.folder.iterdir()}

    make_certificates(tmp_path, cluster_name="default", days=1)

    after = {path.name: path.read_bytes() for path in first.folder.iterdir()}
    same = {name for name in before if after[name] == before[name]}
    assert same == {"ca.crt", "ca.key"}
    for name in NAMES:
        read(first.pair(name).certificate).verify_directly_issued_by(read(first.authority))


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        pytest.param(
            lambda f: (f / "ca.key").unlink(), "authority .*/ca.key: missing", id="no key"
        ),
        pytest.param(
            lambda f: (f / "ca.crt").unlink(), "authority .*/ca.crt: missing", id="no crt"
        ),
        pytest.param(lambda f: (f / "ca.key").write_text("x"), "read authority", id="no PEM"),
        pytest.param(
            lambda f: (f / "ca.key").write_bytes((f / "client.key").read_bytes()),
            "ca.key: not the key of .*ca.crt",
            id="another's key",
        ),
    ],
)
def test_an_authority_that_cannot_sign_is_named(
    tmp_path: Path,
    spoil: Callable[[Path], object],
    problem: str,
) -> None:
    make_certificates(tmp_path, cluster_name="default", days=1)
    kept = (tmp_path / "server.crt").read_bytes()
    spoil(tmp_path)

    with pytest.raises(LabError, match=problem):
        make_certificates(tmp_path, cluster_name="default", days=1)

    assert (tmp_path / "server.crt").read_bytes() == kept


def test_a_folder_that_cannot_be_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("")
    assert main(["certs", str(tmp_path / "taken" / "tls")]) == 1
    assert capsys.readouterr().err == (f"hubble-lab: write {tmp_path}/taken/tls: Not a directory\n")


def test_the_command_says_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certs", str(tmp_path), "--cluster-name", "blue", "--days", "2"]) == 0
    made = sorted(("ca", *NAMES))
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / f"{name}.crt") for name in made]


@pytest.mark.parametrize(
    ("server", "client", "name"),
    [
        pytest.param("server", "relay-client", "lab-1.default.hubble-grpc.cilium.io", id="node"),
        pytest.param("server", "relay-client", "hubble-peer.default.hubble-grpc.cilium.io", id="p"),
        pytest.param("relay-server", "client", "ui.hubble-relay.cilium.io", id="relay"),
        pytest.param("relay-server", "client", None, id="relay at its address"),
    ],
)
async def test_who_is_to_talk_can_talk(
    files: TlsFiles, server: str, client: str, name: str | None
) -> None:
    assert await answered(files, server, client, name)


@pytest.mark.parametrize(
    ("server", "client", "name"),
    [
        pytest.param("server", "client", "lab-1.other.hubble-grpc.cilium.io", id="cluster"),
        pytest.param("relay-server", "client", "lab-1.default.hubble-grpc.cilium.io", id="relay"),
        pytest.param("server", None, "lab-1.default.hubble-grpc.cilium.io", id="nobody"),
        pytest.param("relay-client", "client", "ui.hubble-relay.cilium.io", id="no server"),
        pytest.param("relay-server", "relay-server", None, id="no client"),
    ],
)
async def test_who_is_not_to_talk_cannot(
    files: TlsFiles, server: str, client: str | None, name: str | None
) -> None:
    assert not await answered(files, server, client, name)


async def answered(files: TlsFiles, server: str, client: str | None, name: str | None) -> bool:
    """Tell whether a client got an answer of a server that demands certificates."""
    methods = service_methods(health_pb2.DESCRIPTOR.services_by_name["Health"], Health())
    lane = Server(methods)
    certificate, key = files.pair(server)
    address = await lane.listen(
        "127.0.0.1:0",
        ssl=ServerTls(certificate=certificate, key=key, client_authorities=[files.authority]),
    )
    pair = (None, None) if client is None else files.pair(client)
    tls = ClientTls(authorities=[files.authority], certificate=pair[0], key=pair[1])
    channel = Channel(address, ssl=tls, server_name=name)
    try:
        await channel.unary(
            "/grpc.health.v1.Health/Check",
            health_pb2.HealthCheckRequest(),
            health_pb2.HealthCheckResponse,
            timeout_s=10,
        )
    except RpcError:
        return False
    finally:
        await channel.close()
        await lane.stop(0)
    return True


def test_python_itself_accepts_them_strictly(files: TlsFiles) -> None:
    context = ssl.create_default_context(cafile=str(files.authority))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*files.server)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = context.wrap_bio(to_client, to_server, server_hostname="n.default.hubble-grpc.cilium.io")
    there = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (here, there):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert here.version() == "TLSv1.3"
    assert here.getpeercert()
