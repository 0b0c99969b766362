"""Which fields of a flow to ask for: those that a format prints, or those that were named.

A mask makes answers smaller by half. Ours holds all that the lines show (Hubble 1.19's default
forgot direction and match type, so its lines could not tell them).
"""

from typing import Any

from api.proto.flow.flow_pb2 import Flow
from cli.errors import UsageError
from cli.flags.arguments import Arguments
from cli.quoting import quoted

_SHOWN = (
    "time",
    "verdict",
    "auth_type",
    "ethernet",
    "IP",
    "l4",
    "source.identity",
    "source.namespace",
    "source.pod_name",
    "destination.identity",
    "destination.namespace",
    "destination.pod_name",
    "node_name",
    "source_names",
    "destination_names",
    "l7",
    "event_type",
    "source_service",
    "destination_service",
    "traffic_direction",
    "policy_match_type",
    "ip_trace_id",
    "is_reply",
    "debug_capture_point",
    "sock_xlate_point",
    "Summary",
)
_POLICIES = (
    "egress_allowed_by",
    "ingress_allowed_by",
    "egress_denied_by",
    "ingress_denied_by",
)


def field_mask(output: str, arguments: Arguments) -> tuple[str, ...]:
    """Choose the paths to ask for, none for everything; raises UsageError."""
    named = arguments.texts("field-mask")
    if output == "json":
        for path in named:
            _check(path)
        return named
    if named:
        raise UsageError(f"{output} output format is not compatible with custom field mask")
    if not arguments.on("use-default-field-masks"):
        return ()
    return (*_SHOWN, *_POLICIES) if arguments.on("print-policy-names") else _SHOWN


def _check(path: str) -> None:
    # The descriptors of protobuf's C core are not of the types declared for them.
    fields: dict[str, Any] = dict(Flow.DESCRIPTOR.fields_by_name)
    for name in path.split("."):
        field = fields.get(name)
        if field is None:
            raise UsageError(
                "failed to construct field mask: "
                f'proto: invalid path {quoted(path)} for message "flow.Flow"'
            )
        inner = None if field.is_repeated else field.message_type
        fields = {} if inner is None else dict(inner.fields_by_name)
