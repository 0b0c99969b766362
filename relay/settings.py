"""Settings of `hubble-relay`: what they mean, their units and their defaults.

Names are those of Hubble's own relay, so that its flags, environment and configuration file go on
working; what it has and this one has no use for is taken with a warning.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from api.process import parse, show
from api.process.setting import Schema, Setting
from relay import parse as relay_parse


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set, in the groups of `--help`. `None` means: not given."""

    cluster_name: Annotated[
        str, Setting(parse.name, "name of the cluster, as in the names of certificates")
    ] = "default"
    peer_service: Annotated[
        str,
        Setting(
            relay_parse.target,
            "where to learn of the nodes: the unix socket or the address of a server, or of a "
            "Kubernetes service of all servers",
        ),
    ] = "unix:///var/run/leavitt/hubble.sock"
    node_name: Annotated[
        str, Setting(parse.name, "name of the relay itself, in what it tells of the nodes")
    ] = parse.hostname()

    listen_address: Annotated[str, Setting(parse.address, "TCP address for clients")] = ":4245"
    health_listen_address: Annotated[
        str, Setting(parse.address, "TCP address for probes of health, always in the clear")
    ] = ":4222"
    metrics_listen_address: Annotated[
        str | None, Setting(relay_parse.address_or_none, "TCP address of /metrics, such as :9966")
    ] = None
    shutdown_grace: Annotated[
        float,
        Setting(parse.duration_s, "time that open calls have to end at shutdown", show.duration_s),
    ] = 1.0

    retry_timeout: Annotated[
        float,
        Setting(
            relay_parse.some_time_s,
            "longest wait before the peer service is tried again",
            show.duration_s,
        ),
    ] = 30.0
    sort_buffer_drain_timeout: Annotated[
        float,
        Setting(
            relay_parse.some_time_s,
            "how long flows of other nodes wait for a node that says nothing",
            show.duration_s,
        ),
    ] = 1.0

    disable_client_tls: Annotated[
        bool, Setting(parse.switch, "reach the nodes in the clear", show.switch)
    ] = False
    tls_hubble_server_ca_files: Annotated[
        tuple[Path, ...],
        Setting(
            parse.paths,
            "authorities (PEM), with commas, of the nodes' certificates",
            show.joined,
            is_list=True,
        ),
    ] = ()
    tls_hubble_client_cert_file: Annotated[
        Path | None, Setting(parse.path, "certificate (PEM) that the relay shows to the nodes")
    ] = None
    tls_hubble_client_key_file: Annotated[
        Path | None, Setting(parse.path, "key (PEM, not encrypted) of that certificate")
    ] = None
    disable_server_tls: Annotated[
        bool, Setting(parse.switch, "serve clients in the clear", show.switch)
    ] = False
    tls_relay_server_cert_file: Annotated[
        Path | None, Setting(parse.path, "certificate (PEM) that clients see; TLS 1.3")
    ] = None
    tls_relay_server_key_file: Annotated[
        Path | None, Setting(parse.path, "key (PEM, not encrypted) of that certificate")
    ] = None
    tls_relay_client_ca_files: Annotated[
        tuple[Path, ...],
        Setting(
            parse.paths,
            "authorities (PEM), with commas; clients must show a certificate of one of them",
            show.joined,
            is_list=True,
        ),
    ] = ()

    log_level: Annotated[
        str,
        Setting(parse.word("debug", "info", "warning", "error"), "debug, info, warning or error"),
    ] = "info"


GROUPS: Final = {
    "Cluster": ("cluster_name", "peer_service", "node_name", "retry_timeout"),
    "Serve": (
        "listen_address",
        "health_listen_address",
        "metrics_listen_address",
        "shutdown_grace",
    ),
    "Merge": ("sort_buffer_drain_timeout",),
    "TLS towards nodes": (
        "disable_client_tls",
        "tls_hubble_server_ca_files",
        "tls_hubble_client_cert_file",
        "tls_hubble_client_key_file",
    ),
    "TLS towards clients": (
        "disable_server_tls",
        "tls_relay_server_cert_file",
        "tls_relay_server_key_file",
        "tls_relay_client_ca_files",
    ),
    "Logs": ("log_level",),
}
"""The groups of `--help`."""

SCHEMA: Final = Schema(
    settings=Settings,
    program="hubble-relay",
    environment="HUBBLE_RELAY_",
    groups=GROUPS,
    aliases={
        "tls_client_cert_file": "tls_hubble_client_cert_file",
        "tls_client_key_file": "tls_hubble_client_key_file",
        "tls_server_cert_file": "tls_relay_server_cert_file",
        "tls_server_key_file": "tls_relay_server_key_file",
    },
    ignored=frozenset(
        {
            "debug",
            "dial_timeout",
            "gops",
            "gops_port",
            "log_format",
            "pprof",
            "pprof_address",
            "pprof_port",
            "sort_buffer_len_max",
        }
    ),
    default_file=Path("/etc/hubble-relay/config.yaml"),
)
