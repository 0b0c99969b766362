"""Policy: how long compiling takes, what a changed label costs, what a look-up of many costs.

The cluster: 1,000 pods of 500 label sets in 20 namespaces, all on this node, and 1,000 policies
that each select about 10 pods, with 3 peers and 2 ports. Compiled are map entries, every one of
them; answers are checked against entries compiled afresh.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from bench.errors import WrongAnswerError
from bench.measurement import Budget, Conditions, Measurement
from policy.ciliumpolicy import read_cilium_policy
from policy.compiler import Compiler, EndpointPolicy
from policy.drafting import Profile
from policy.entries import Direction
from policy.evaluate import Evaluator, Packets
from policy.fields import Field
from policy.rules import Policy
from policy.subjects import RESERVED_SUBJECTS, Subject, subject_of

_NAMESPACES: Final = 20
_LABEL_SETS: Final = 500
_POLICIES: Final = 1_000
_APPS: Final = 25
"""Label sets of one namespace: two pods each, so that five of them are ten pods."""
_FIRST_IDENTITY: Final = 1_000
_COMPILE_LIMIT_S: Final = 2.0
_CHANGE_LIMIT_MS: Final = 50.0
_PACKETS: Final = 65_535


def measure(conditions: Conditions) -> Iterator[Measurement]:
    """Compile a cluster, change a label of one of its pods, judge a table of packets."""
    policies, subjects = _policies(), _subjects()
    yield Measurement(
        line="policy",
        what="compile 1,000 policies x 1,000 pods",
        unit="s",
        values=tuple(
            _seconds(lambda: _compile(Compiler(), policies, subjects))
            for _ in range(conditions.repeats(5))
        ),
        budget=Budget(limit=_COMPILE_LIMIT_S, ceiling=True),
        note=f"{_count(_compile(Compiler(), policies, subjects)):,} entries",
    )
    yield Measurement(
        line="policy",
        what="change a pod's label",
        unit="ms",
        values=tuple(_changes(conditions.repeats(20, quick=3), policies, subjects)),
        budget=Budget(limit=_CHANGE_LIMIT_MS, ceiling=True),
    )
    yield _judging(conditions, policies, subjects)


def _changes(
    repeats: int, policies: tuple[Policy, ...], subjects: dict[int, Subject]
) -> Iterator[float]:
    """Let one identity after the other be another one, and back."""
    compiler = Compiler()
    _compile(compiler, policies, subjects)
    changed = dict(subjects)
    for number in range(repeats):
        identity = _FIRST_IDENTITY + number * 7 % _LABEL_SETS
        labels = {**subjects[identity].labels, "k8s:version": f"v{number}", "k8s:app": "app3"}
        changed.pop(identity)
        changed[_FIRST_IDENTITY + _LABEL_SETS + number] = Subject(labels=labels)
        yield 1_000 * _seconds(lambda: _compile(compiler, policies, changed))
    if _compile(compiler, policies, changed) != _compile(Compiler(), policies, changed):
        raise WrongAnswerError("change labels: entries differ from those compiled afresh")


def _judging(
    conditions: Conditions, policies: tuple[Policy, ...], subjects: dict[int, Subject]
) -> Measurement:
    compiler = Compiler()
    _compile(compiler, policies, subjects)
    profiles = [Profile(each) for each in subjects if each >= _FIRST_IDENTITY]
    evaluator = Evaluator([compiler.compile(each) for each in profiles])
    random = np.random.default_rng(5)
    packets = Packets(
        endpoint=random.integers(0, len(profiles), _PACKETS).astype(np.int64),
        direction=np.full(_PACKETS, Direction.INGRESS, np.uint8),
        identity=random.integers(_FIRST_IDENTITY, _FIRST_IDENTITY + _LABEL_SETS, _PACKETS).astype(
            np.uint32
        ),
        protocol=np.full(_PACKETS, 6, np.uint8),
        port=random.choice(np.array([80, 443, 8080, 9], np.uint16), _PACKETS),
    )
    return Measurement(
        line="policy",
        what=f"judge {_PACKETS:,} packets",
        unit="ms",
        values=tuple(
            1_000 * _seconds(lambda: evaluator.judge(packets))
            for _ in range(conditions.repeats(10, quick=2))
        ),
    )


def _compile(
    compiler: Compiler, policies: tuple[Policy, ...], subjects: dict[int, Subject]
) -> dict[int, EndpointPolicy]:
    """Learn, and compile for all pods, by identity."""
    for _ in compiler.learn(policies, subjects):
        pass
    profiles = [Profile(identity) for identity in subjects if identity >= _FIRST_IDENTITY]
    compiler.keep_only(profiles)
    return {profile.identity: compiler.compile(profile) for profile in profiles}


def _count(compiled: dict[int, EndpointPolicy]) -> int:
    return sum(len(policy.entries) for policy in compiled.values())


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _subjects() -> dict[int, Subject]:
    found = {int(identity): subject for identity, subject in RESERVED_SUBJECTS.items()}
    for number in range(_LABEL_SETS):
        namespace, app = divmod(number, _APPS)
        labels = {
            "io.kubernetes.pod.namespace": f"ns{namespace}",
            "io.cilium.k8s.policy.cluster": "default",
            "app": f"app{app}",
            "tier": f"tier{app % 5}",
            "zone": f"zone{number % 3}",
        }
        found[_FIRST_IDENTITY + number] = subject_of(f"k8s:{k}={v}" for k, v in labels.items())
    return found


def _policies() -> tuple[Policy, ...]:
    return tuple(_policy(number) for number in range(_POLICIES))


def _policy(number: int) -> Policy:
    namespace = f"ns{number % _NAMESPACES}"
    peers = [
        {"matchLabels": {"app": f"app{number % _APPS}"}},
        {"matchLabels": {"tier": f"tier{number % 5}"}},
        {
            "matchLabels": {
                "k8s:io.kubernetes.pod.namespace": f"ns{(number + 1) % _NAMESPACES}",
                "zone": f"zone{number % 3}",
            }
        },
    ]
    ports = [{"port": "80", "protocol": "TCP"}, {"port": str(1024 + number), "protocol": "TCP"}]
    document: dict[str, Any] = {
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNetworkPolicy",
        "metadata": {"name": f"policy-{number}", "namespace": namespace},
        "spec": {
            "endpointSelector": {"matchLabels": {"tier": f"tier{number // _NAMESPACES % 5}"}},
            "ingress": [{"fromEndpoints": peers, "toPorts": [{"ports": ports}]}],
        },
    }
    return read_cilium_policy(Field(document))
