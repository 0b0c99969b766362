"""How servers are reached: TLS, login, time limits, versions."""

from __future__ import annotations

import asyncio
import base64
import shutil
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest

from cli.app import run
from cli.connection import warn_if_older

if TYPE_CHECKING:
    from pathlib import Path

    from api.lane.call import Call
    from tests.cli.conftest import Hubble, Screen

NAME = "instance.hubble-relay.cilium.io"
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a self-signed certificate, cert.pem, and its key.pem."""
    folder = tmp_path_factory.mktemp("tls")
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        f"-subj /CN={NAME} -addext subjectAltName=DNS:{NAME} -keyout key.pem -out cert.pem"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return folder


async def listen(hubble: Hubble, folder: Path, *, mutual: bool = False) -> str:
    """Let the server listen with TLS, too; returns the address."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder / "cert.pem")
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED if mutual else ssl.CERT_NONE
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    assert hubble.server is not None
    return await hubble.server.listen("127.0.0.1:0", ssl=context)


async def observe(screen: Screen, *words: str) -> int:
    return await asyncio.to_thread(run, ["observe", *words], screen.surroundings())


@needs_openssl
async def test_tls_with_authority_and_name(hubble: Hubble, screen: Screen, folder: Path) -> None:
    address = await listen(hubble, folder)
    trust = ("--tls-ca-cert-files", str(folder / "cert.pem"), "--tls-server-name", NAME)
    login = ("--basic-auth-username", "leia", "--basic-auth-password", "organa")
    assert await observe(screen, "--server", f"tls://{address}", *trust, *login) == 0
    expected = "Basic " + base64.b64encode(b"leia:organa").decode()
    assert ("authorization", expected) in hubble.metadata[0]
    assert len(hubble.requests) == 1


@needs_openssl
async def test_tls_with_certificates_of_both(hubble: Hubble, screen: Screen, folder: Path) -> None:
    address = await listen(hubble, folder, mutual=True)
    trust = ("--tls-ca-cert-files", str(folder / "cert.pem"), "--tls-server-name", NAME)
    pair = (
        "--tls-client-cert-file", str(folder / "cert.pem"),
        "--tls-client-key-file", str(folder / "key.pem"),
    )  # fmt: skip
    assert await observe(screen, "--tls", "--server", address, *trust, *pair) == 0
    assert len(hubble.requests) == 1


@needs_openssl
async def test_tls_without_trust(hubble: Hubble, screen: Screen, folder: Path) -> None:
    address = await listen(hubble, folder)
    assert await observe(screen, "--tls", "--server", address) == 1
    assert screen.err.startswith("rpc error: code = Unavailable desc = connection error: ")
    assert await observe(screen, "--tls", "--server", address, "--tls-allow-insecure") == 0
    assert len(hubble.requests) == 1


@needs_openssl
async def test_a_key_that_cannot_be_loaded(screen: Screen, folder: Path) -> None:
    pair = ("--tls-client-cert-file", str(folder / "cert.pem"), "--tls-client-key-file", "/none")
    assert await observe(screen, "--tls", "--server", "127.0.0.1:1", *pair) == 1
    assert screen.err.startswith(f"cannot load keypair '{folder / 'cert.pem'}', '/none': ")


TLS_ENVIRONMENT = {
    "HUBBLE_TLS": "true",
    "HUBBLE_TLS_CA_CERT_FILES": "/none",
    "HUBBLE_TLS_CLIENT_CERT_FILE": "/none",
    "HUBBLE_TLS_CLIENT_KEY_FILE": "/none",
}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], ""),
        (
            ["--debug"],
            (
                'level=DEBUG msg="Unix sockets do not speak TLS: the TLS settings of environment '
                'and configuration file are not used" server=unix://{}\n'
            ),
        ),
    ],
)
async def test_a_unix_socket_is_in_the_clear(
    words: list[str], told: str, hubble: Hubble, screen: Screen, tmp_path: Path
) -> None:
    assert hubble.server is not None
    await hubble.server.listen(f"unix://{tmp_path / 's'}")
    line = ["observe", "--server", f"unix://{tmp_path / 's'}", *words]
    assert await asyncio.to_thread(run, line, screen.surroundings(TLS_ENVIRONMENT)) == 0
    assert screen.err.startswith(told.format(tmp_path / "s"))
    assert bool(screen.err) == bool(words)
    assert len(hubble.requests) == 1


@pytest.mark.parametrize("server", ["unix:///none", "127.0.0.1:1"])
def test_tls_that_is_typed_counts_always(server: str, screen: Screen) -> None:
    line = ["observe", "--server", server, "--tls"]
    assert run(line, screen.surroundings(TLS_ENVIRONMENT)) == 1
    assert screen.err == "cannot load cert '/none': open /none: no such file or directory\n"


async def test_unary_calls_end_in_time(hubble: Hubble, screen: Screen) -> None:
    async def never(_: Call) -> None:
        await asyncio.Event().wait()

    assert hubble.server is not None
    hubble.server.methods["/grpc.health.v1.Health/Check"] = never
    words = ["status", "--request-timeout", "50ms", "--server", hubble.address]
    assert await asyncio.to_thread(run, words, screen.surroundings()) == 1
    assert screen.err == (
        "failed getting status: "
        "rpc error: code = DeadlineExceeded desc = context deadline exceeded\n"
    )


@pytest.mark.parametrize(
    ("name", "version", "warned"),
    [
        ("hubble-server-version", "1.20.0", True),
        ("hubble-relay-version", "v2.0.1", True),
        ("hubble-server-version", "1.19.9", False),
        ("hubble-server-version", "1.18.0", False),
        ("hubble-server-version", "nonsense", False),
        ("another-version", "9.9.9", False),
    ],
)
def test_warns_of_newer_servers(name: str, version: str, warned: bool, screen: Screen) -> None:
    warn_if_older((("x", "y"), (name, version)), screen.warnings.append)
    assert (f"{name}={version}" in screen.err) == warned
