"""Flags of every command, and flags of those that talk to a server."""

from cli.flags.table import Flag, FlagSet, Kind, switch


def _setting(
    name: str,
    kind: Kind,
    help_text: str,
    *,
    default: str = "",
    short: str = "",
    is_file: bool = False,
) -> Flag:
    return Flag(
        is_file=is_file,
        name=name,
        kind=kind,
        help=help_text,
        default=default,
        short=short,
        from_environment=True,
    )


def _setting_switch(name: str, help_text: str, short: str = "") -> Flag:
    return switch(name, help_text, short=short, from_environment=True)


GLOBAL = FlagSet(
    title="Global",
    flags=(
        _setting(
            "config",
            "string",
            "Configuration file; ~/.config/hubble/config.yaml if none is named",
            is_file=True,
        ),
        _setting_switch("debug", "Tell on stderr what goes on behind the scenes", "D"),
    ),
)

SERVER = FlagSet(
    title="Server",
    flags=(
        _setting("basic-auth-password", "string", "Password to log in with"),
        _setting("basic-auth-username", "string", "Name to log in with"),
        _setting(
            "kube-context",
            "string",
            "Context of the kubeconfig to use; counts with --port-forward",
        ),
        _setting(
            "kube-namespace",
            "string",
            "Namespace of the service hubble-relay; counts with --port-forward",
            default="kube-system",
        ),
        _setting(
            "kubeconfig",
            "string",
            "Path of the kubeconfig file; counts with --port-forward",
            is_file=True,
        ),
        _setting_switch(
            "port-forward", "Reach the relay in the cluster through the Kubernetes API", "P"
        ),
        _setting(
            "port-forward-port",
            "uint16",
            "Port on this machine that is forwarded, 0 for any; counts with --port-forward",
            default="4245",
        ),
        _setting(
            "request-timeout",
            "duration",
            "Time limit of requests with a single answer (status and lists, not observe)",
            default="12s",
        ),
        _setting(
            "server",
            "string",
            "Address of the server: host:port, unix:///path or tls://host:port",
            default="localhost:4245",
        ),
        _setting("timeout", "duration", "Time limit of the connection set-up", default="5s"),
        _setting_switch(
            "tls", "Use TLS; without it, only addresses that begin with 'tls://' are encrypted"
        ),
        _setting_switch(
            "tls-allow-insecure",
            "Accept any certificate of the server. Whoever sits in between can then read along\n"
            "and answer in its place; 'tls-server-name' is often what is needed instead",
        ),
        _setting(
            "tls-ca-cert-files",
            "strings",
            "Certificates of authorities to trust (PEM files)",
            is_file=True,
        ),
        _setting(
            "tls-client-cert-file",
            "string",
            "Certificate to show to the server (PEM file)",
            is_file=True,
        ),
        _setting(
            "tls-client-key-file", "string", "Key of that certificate (PEM file)", is_file=True
        ),
        _setting(
            "tls-server-name",
            "string",
            "Name that the server's certificate must carry, e.g. 'instance.hubble-relay.cilium.io'",
        ),
    ),
)
