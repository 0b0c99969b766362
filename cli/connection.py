"""The way to a server: address, TLS and login from flags, and the channel they give.

    tls://host:4245  or --tls   TLS 1.3, verified by the given authorities or the system's
    unix:///path, host:4245     in the clear

Unix sockets do not speak TLS: what the environment or the configuration file says of TLS is meant
for other servers, and counts for them only; what is typed counts always.
Flags that contradict each other are refused before anything else happens, as Hubble does.
"""

import base64
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from api.lane.client import Channel
from api.lane.metadata import Metadata
from api.lane.status import Code, RpcError
from api.version import HUBBLE_API, VERSION
from cli.errors import CliError, UsageError
from cli.flags.arguments import Arguments

if TYPE_CHECKING:
    from cli.portforward import ForwardOptions

_FORWARD_TIMEOUT_S = 5.0
_TLS_SCHEME, _UNIX_SCHEME = "tls://", "unix:"
_TLS_FLAGS = (
    "tls",
    "tls-allow-insecure",
    "tls-ca-cert-files",
    "tls-client-cert-file",
    "tls-client-key-file",
    "tls-server-name",
)
_TLS_IGNORED = (
    'level=DEBUG msg="Unix sockets do not speak TLS: the TLS settings of environment and '
    'configuration file are not used" server={}\n'
)
_VERSION_HEADERS = ("hubble-relay-version", "hubble-server-version")
_MAJOR_MINOR = re.compile(r"v?(\d{1,9})\.(\d{1,9})")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Which server, and how to talk to it."""

    target: str
    """Address, without tls://."""
    tls: bool
    verify: bool
    ca_files: tuple[str, ...]
    client_certificate: tuple[str, str] | None
    """Paths of certificate and key."""
    server_name: str
    authorization: str
    """Value of the authorization header; empty for none."""
    forward: "ForwardOptions | None"
    """How to reach the relay through Kubernetes, in place of the target; None to dial that."""
    connect_timeout_s: float | None
    """None for the lane's own limit."""
    request_timeout_s: float
    debug_text: str = ""
    """What to tell when debugging, with each connection."""

    @classmethod
    def from_arguments(cls, arguments: Arguments) -> "ServerOptions":
        """Read the server flags; raises UsageError where they contradict each other."""
        address = arguments.text("server")
        clear = _stays_clear(address, arguments)
        wants_tls = arguments.on("tls")
        tls = (wants_tls or address.startswith(_TLS_SCHEME)) and not clear
        certificate, key = (
            "" if clear else arguments.text("tls-client-cert-file"),
            "" if clear else arguments.text("tls-client-key-file"),
        )
        user, password = (
            arguments.text("basic-auth-username"),
            arguments.text("basic-auth-password"),
        )
        if bool(certificate) != bool(key):
            raise UsageError(
                "invalid flag(s): certificate and private key are both required, "
                "but only one was provided"
            )
        if certificate and not tls:
            raise UsageError("invalid flag(s): transport layer security required")
        if bool(user) != bool(password):
            raise UsageError(
                "invalid flag(s): must specify both basic-auth-username and basic-auth-password"
            )
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        return cls(
            target=address.removeprefix(_TLS_SCHEME),
            tls=tls,
            verify=not arguments.on("tls-allow-insecure"),
            ca_files=arguments.texts("tls-ca-cert-files"),
            client_certificate=(certificate, key) if certificate else None,
            server_name=arguments.text("tls-server-name"),
            authorization=f"Basic {login}" if user else "",
            forward=_forward_options(arguments) if arguments.on("port-forward") else None,
            connect_timeout_s=arguments.number("timeout") / 1e9 or None,
            request_timeout_s=arguments.number("request-timeout") / 1e9,
            debug_text=(
                _TLS_IGNORED.format(address)
                if clear and wants_tls and arguments.on("debug")
                else ""
            ),
        )


def _stays_clear(address: str, arguments: Arguments) -> bool:
    """Tell whether a unix socket is dialled, and no word of TLS was typed."""
    if not address.startswith(_UNIX_SCHEME) or arguments.on("port-forward"):
        return False
    return not any(arguments.given(name) for name in _TLS_FLAGS)


def _forward_options(arguments: Arguments) -> "ForwardOptions":
    from cli.portforward import ForwardOptions

    return ForwardOptions(
        kubeconfig=arguments.text("kubeconfig"),
        context=arguments.text("kube-context"),
        namespace=arguments.text("kube-namespace"),
        local_port=arguments.number("port-forward-port"),
        timeout_s=arguments.number("timeout") / 1e9 or _FORWARD_TIMEOUT_S,
    )


@asynccontextmanager
async def connected(options: ServerOptions, warn: Callable[[str], None]) -> AsyncIterator[Channel]:
    """Give a channel to the server, also through Kubernetes; raises CliError."""
    if options.debug_text:
        warn(options.debug_text)
    async with AsyncExitStack() as stack:
        if options.forward is not None:
            from cli.portforward import forwarded

            address = await stack.enter_async_context(forwarded(options.forward, warn))
            options = replace(options, target=address)
        channel = open_channel(options)
        stack.push_async_callback(channel.close)
        yield channel


def open_channel(options: ServerOptions) -> Channel:
    """Make the channel; it connects with its first call. Raises CliError on bad options."""
    metadata: Metadata = ()
    if options.authorization:
        if not options.tls:
            raise CliError("transport: cannot send secure credentials on an insecure connection")
        metadata = (("authorization", options.authorization),)
    try:
        return Channel(
            options.target,
            ssl=_tls_context(options) if options.tls else None,
            server_name=options.server_name or None,
            metadata=metadata,
            connect_timeout_s=options.connect_timeout_s,
        )
    except ValueError as error:
        raise CliError(f"failed to connect to '{options.target}': {error}") from None


def rpc_text(error: RpcError) -> str:
    """Write the outcome of a call; of code Unknown the message alone, it says all."""
    return error.message if error.code is Code.UNKNOWN else str(error)


def _tls_context(options: ServerOptions) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    for path in options.ca_files:
        _trust(context, path)
    if options.client_certificate is not None:
        certificate, key = options.client_certificate
        try:
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            # Of a missing file Python does not say which of the two it is.
            missing = [path for path in (certificate, key) if not Path(path).exists()]
            reason = f"open {missing[0]}: no such file or directory" if missing else str(error)
            raise CliError(f"cannot load keypair '{certificate}', '{key}': {reason}") from None
    return context


def _trust(context: ssl.SSLContext, path: str) -> None:
    try:
        text = Path(path).read_text(encoding="ascii", errors="replace")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CliError(f"cannot load cert '{path}': open {path}: {reason}") from None
    try:
        context.load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError):
        raise CliError(f"cannot process cert '{path}': must be a PEM encoded certificate") from None


def warn_if_older(metadata: Metadata, warn: Callable[[str], None]) -> None:
    """Tell when the server speaks a later version of the Hubble API than we do."""
    for name, value in metadata:
        if name not in _VERSION_HEADERS or not isinstance(value, str):
            continue
        if _major_minor(value) > _major_minor(HUBBLE_API):
            warn(
                'level=WARN msg="The server is newer than the API spoken here: some of what it '
                f'tells may not be shown" hubble-cli-version={VERSION} '
                f"hubble-api-version={HUBBLE_API} {name}={value}\n"
            )
        return


def _major_minor(version: str) -> tuple[int, int]:
    match = _MAJOR_MINOR.match(version)
    return (int(match[1]), int(match[2])) if match else (0, 0)
