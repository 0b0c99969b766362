"""Settings of `hubble-server`: what they mean, their units and their defaults.

Each field is one setting. Its name gives the flag (`--node-name`), the environment variable
(`HUBBLE_SERVER_NODE_NAME`) and the key in the configuration file (`node-name`); the flag wins over
the environment, that over the file, the file over the default. `api.process` resolves them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from api.process import parse, show
from api.process.setting import Schema, Setting
from server import parse as node_parse
from server import show as node_show


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set, in the groups of `--help`. `None` means: not given."""

    node_name: Annotated[
        str,
        Setting(parse.name, "name of this node, as in its Node object and in every flow"),
    ] = parse.hostname()
    cluster_name: Annotated[str, Setting(parse.name, "name of the cluster")] = "default"
    state: Annotated[
        Path | None,
        Setting(
            parse.existing_folder,
            "folder of Kubernetes YAML objects that describe the cluster; watched for changes",
        ),
    ] = None
    netns: Annotated[
        Path | None,
        Setting(
            node_parse.netns,
            "network namespace whose interfaces are observed, a name or a path; default: our own",
        ),
    ] = None

    mode: Annotated[
        str,
        Setting(
            parse.word("enforce", "observe"),
            "enforce: connect this node's pods, by policy; observe: only look at interfaces of "
            "others",
        ),
    ] = "enforce"
    interface: Annotated[
        tuple[str, ...],
        Setting(
            node_parse.globs,
            "observe: name or pattern of the interfaces to look at, such as 'veth*'; may be "
            "repeated, or a list with commas",
            show.joined,
            is_list=True,
        ),
    ] = ()
    container_socket: Annotated[
        tuple[Path, ...],
        Setting(
            node_parse.sockets,
            "observe: sockets of container engines, the first that is there names the endpoints "
            "if --state is not given; none: do not ask",
            node_show.sockets,
            is_list=True,
        ),
    ] = (Path("/var/run/docker.sock"), Path("/run/podman/podman.sock"))

    listen_address: Annotated[
        str | None,
        Setting(parse.address, "TCP address of the Observer service, such as :4244"),
    ] = None
    socket_path: Annotated[Path, Setting(parse.path, "unix socket of the Observer service")] = Path(
        "/var/run/leavitt/hubble.sock"
    )
    tls_cert_file: Annotated[
        Path | None,
        Setting(
            parse.path,
            "certificate (PEM) of the TCP address, which then speaks TLS 1.3; read again when it "
            "changes. The unix socket stays in the clear",
        ),
    ] = None
    tls_key_file: Annotated[
        Path | None, Setting(parse.path, "key (PEM, not encrypted) of that certificate")
    ] = None
    tls_client_ca_files: Annotated[
        tuple[Path, ...] | None,
        Setting(
            parse.paths,
            "authorities (PEM), with commas; clients must show a certificate of one of them",
            show.joined,
        ),
    ] = None
    prefer_ipv6: Annotated[
        bool,
        Setting(
            parse.switch,
            "name nodes to relays by their IPv6 addresses where they have both",
            show.switch,
        ),
    ] = False
    shutdown_grace: Annotated[
        float,
        Setting(parse.duration_s, "time that open calls have to end at shutdown", show.duration_s),
    ] = 1.0

    event_buffer_capacity: Annotated[
        int,
        Setting(
            node_parse.capacity,
            "flows kept in memory: one less than a power of two, 1 to 16777215",
        ),
    ] = 65_535
    report_interval: Annotated[
        float,
        Setting(
            parse.duration_s,
            "an open connection is reported again this often, with its packets and bytes since",
            show.duration_s,
        ),
    ] = 5.0
    per_packet: Annotated[
        bool, Setting(parse.switch, "report every packet instead of what changes", show.switch)
    ] = False
    debug_events: Annotated[
        bool,
        Setting(
            parse.switch,
            "let the programs tell their steps with every packet, for 'hubble observe "
            "debug-events': several events each",
            show.switch,
        ),
    ] = False

    bpffs: Annotated[
        Path, Setting(parse.path, "BPF file system for pins; the server mounts it if it is missing")
    ] = Path("/sys/fs/bpf")
    attach: Annotated[
        str,
        Setting(
            parse.word("auto", "tcx", "clsact"),
            "how programs are put on interfaces: tcx, clsact before Linux 6.6; auto: what there is",
        ),
    ] = "auto"
    ring_bytes: Annotated[
        int | None,
        Setting(
            node_parse.ring_bytes,
            "perf ring of one CPU in bytes, a power of two; default: 512 KiB to 8 MiB by CPUs",
        ),
    ] = None
    connections: Annotated[int, Setting(parse.count, "most connections tracked at once")] = 131_072

    record: Annotated[
        Path | None,
        Setting(parse.path, "write samples and cluster changes to this new file"),
    ] = None
    replay: Annotated[
        Path | None,
        Setting(
            parse.path,
            "serve the flows of a recording instead of this node's; needs no root and no BPF",
        ),
    ] = None
    speed: Annotated[
        float | None,
        Setting(
            node_parse.speed,
            "replay this many times as fast as recorded; max: at once",
            node_show.speed,
        ),
    ] = 1.0

    metrics: Annotated[
        str | None,
        Setting(
            node_parse.metrics,
            "metrics of flows, as Hubble spells them: 'drop:sourceContext=pod tcp flow'; names: "
            "drop flow flows-to-world icmp policy tcp port-distribution",
        ),
    ] = None
    metrics_server: Annotated[
        str | None,
        Setting(parse.address, "address of /metrics and /healthz over HTTP, such as :9965"),
    ] = None
    open_metrics: Annotated[
        bool,
        Setting(parse.switch, "answer in OpenMetrics who asks for it", show.switch),
    ] = False

    log_level: Annotated[
        str,
        Setting(parse.word("debug", "info", "warning", "error"), "debug, info, warning or error"),
    ] = "info"


GROUPS: Final = {
    "Node": ("node_name", "cluster_name", "state", "netns"),
    "Observe": ("mode", "interface", "container_socket"),
    "Serve": ("listen_address", "socket_path", "prefer_ipv6", "shutdown_grace"),
    "TLS": ("tls_cert_file", "tls_key_file", "tls_client_ca_files"),
    "Flows": ("event_buffer_capacity", "report_interval", "per_packet", "debug_events"),
    "Kernel": ("bpffs", "attach", "ring_bytes", "connections"),
    "Recordings": ("record", "replay", "speed"),
    "Metrics": ("metrics", "metrics_server", "open_metrics"),
    "Logs": ("log_level",),
}
"""The groups of `--help`."""

SCHEMA: Final = Schema(
    settings=Settings, program="hubble-server", environment="HUBBLE_SERVER_", groups=GROUPS
)
