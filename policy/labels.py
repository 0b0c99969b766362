"""Which labels of a pod make its identity.

Pods with the same security labels are the same to a policy: they share one numeric identity. Labels
that differ from pod to pod of one workload (hashes, revisions, indexes) are left out, or each pod
would be its own identity. The choice is the one Cilium makes by default, so that flows show the
labels that people know; a selector can only ask for labels that are in.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LEFT_OUT = re.compile(
    r"""
      io[.]kubernetes         # set from the pod's namespace, never by the pod itself
    | io[.]cilium[.]k8s       # likewise: a pod must not speak for its namespace
    | kubernetes[.]io
    | .*beta[.]kubernetes[.]io
    | k8s[.]io
    | statefulset[.]kubernetes[.]io/pod-name
    | apps[.]kubernetes[.]io/pod-index
    | batch[.]kubernetes[.]io/job-completion-index
    | batch[.]kubernetes[.]io/controller-uid
    | pod-template-generation
    | pod-template-hash
    | controller-revision-hash
    | controller-uid
    | annotation
    | etcd_node
    """,
    re.VERBOSE,
)
"""Keys that begin so do not count."""


def is_security_key(key: str) -> bool:
    """Tell whether a pod's label of this key is part of its identity."""
    return LEFT_OUT.match(key) is None


def security_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Give the pod's labels that are part of its identity."""
    return {key: value for key, value in labels.items() if is_security_key(key)}
