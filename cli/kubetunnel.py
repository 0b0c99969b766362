"""The relay of a cluster, through the Kubernetes API: where it is, and tunnels to it.

Everything here blocks. What the `kubernetes` package gives is looked at on this page and leaves
it as our own values.
"""

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException
from kubernetes.stream import portforward
from urllib3.exceptions import HTTPError

T = TypeVar("T")
_SERVICE = "hubble-relay"
_PARTING = " -+-+- "
"""What the package puts between the pieces of a refused upgrade."""
_THREAD_NAME = "Kubernetes port forward proxy"


class ClusterError(Exception):
    """The way to the relay cannot be found or taken; the text is for the user."""


def tell_lost_tunnels(warn: Callable[[str], None]) -> None:
    """Let the end of a broken tunnel be one line; the package's thread would print its stack."""
    others = threading.excepthook

    def tell(failure: threading.ExceptHookArgs) -> None:
        if failure.thread is not None and failure.thread.name.startswith(_THREAD_NAME):
            warn(f"lost the port forward: {failure.exc_value}\n")
        else:
            others(failure)

    threading.excepthook = tell


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayPod:
    """One pod behind the relay's service, and the port that it listens on."""

    namespace: str
    name: str
    port: int


class Cluster:
    """Asks the Kubernetes API of one cluster."""

    def __init__(self, kubeconfig: str, context: str) -> None:
        """Read the kubeconfig, or what a pod has in its place; empty texts are the usual ones.

        Raises:
            ClusterError: there is no configuration, or not that context.
        """
        self._dialling = threading.Lock()
        try:
            self._api = client.CoreV1Api(_client(kubeconfig, context))
        except (ConfigException, OSError, ValueError) as error:
            raise ClusterError(f"failed to create k8s port forwarder: {error}") from None

    def relay(self, namespace: str, *, timeout_s: float) -> RelayPod:
        """Find a pod of the service hubble-relay; raises ClusterError."""
        service = _asked(
            lambda: self._api.read_namespaced_service(
                _SERVICE, namespace, _request_timeout=timeout_s
            )
        )
        spec = service.spec or client.V1ServiceSpec()
        selector = ",".join(f"{key}={value}" for key, value in (spec.selector or {}).items())
        if not selector or not spec.ports:
            raise _not_found("it has no selector or no port")
        found = _asked(
            lambda: self._api.list_namespaced_pod(
                namespace, label_selector=selector, _request_timeout=timeout_s
            )
        )
        running = sorted(filter(_is_running, found.items), key=_is_ready, reverse=True)
        if not found.items:
            raise _not_found(f"no pods found for service: {_SERVICE}")
        if not running:
            states = ", ".join(f"{_name(pod)} is {_phase(pod)}" for pod in found.items)
            raise _not_found(f"no pod of the service is running: {states}")
        port = _number(spec.ports[0].target_port or spec.ports[0].port, running[0])
        return RelayPod(namespace=namespace, name=_name(running[0]), port=port)

    def dial(self, pod: RelayPod) -> socket.socket:
        """Open a tunnel to a pod; closing the socket ends it. Raises ClusterError."""
        # While it dials, the package puts another method into the client.
        with self._dialling:
            try:
                tunnel = portforward(
                    self._api.connect_get_namespaced_pod_portforward,
                    pod.name,
                    pod.namespace,
                    ports=str(pod.port),
                )
            except client.ApiException as error:
                raise ClusterError(
                    f"failed to port forward: error upgrading connection: {_reason(error)}"
                ) from None
        # A socket of our own: the package's wrapper is none that asyncio takes.
        ours: socket.socket = tunnel.socket(pod.port).dup()
        tunnel.close()
        return ours


def _client(kubeconfig: str, context: str) -> client.ApiClient:
    settings = client.Configuration()
    # Whoever waits at a terminal would rather hear at once that nobody answers.
    settings.retries = False
    if kubeconfig and not Path(kubeconfig).is_file():
        raise ConfigException(f"{kubeconfig}: no such file")
    # The package has types for the API's objects, not for its configuration.
    try:
        config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=kubeconfig or None,
            context=context or None,
            client_configuration=settings,
        )
    except ConfigException:
        if kubeconfig or context:
            raise
        try:
            config.load_incluster_config(  # type: ignore[no-untyped-call]
                client_configuration=settings
            )
        except ConfigException:
            raise ConfigException(
                "no kubeconfig found: name one with --kubeconfig or in KUBECONFIG"
            ) from None
    return client.ApiClient(settings)


def _asked(question: Callable[[], T]) -> T:
    try:
        return question()
    except client.ApiException as error:
        raise _not_found(_reason(error)) from None
    except (HTTPError, OSError) as error:
        raise _not_found(str(error)) from None


def _not_found(reason: str) -> ClusterError:
    return ClusterError(f'failed to port forward: failed to get service "{_SERVICE}": {reason}')


def _reason(error: client.ApiException) -> str:
    """Say what the API said: the message of its Status object, or the HTTP reason."""
    # Of an upgrade that was refused the package gives all in one text, the body last.
    reason, _, body = str(error.reason or error).rpartition(_PARTING)
    for status in (error.body, body):
        with suppress(KeyError, TypeError, ValueError):
            return str(json.loads(str(status))["message"])
    return " ".join((reason.partition(_PARTING)[0] or body).split())


def _name(pod: client.V1Pod) -> str:
    return (pod.metadata and pod.metadata.name) or ""


def _phase(pod: client.V1Pod) -> str:
    if pod.metadata and pod.metadata.deletion_timestamp:
        return "Terminating"
    return (pod.status and pod.status.phase) or "Unknown"


def _is_running(pod: client.V1Pod) -> bool:
    return _phase(pod) == "Running"


def _is_ready(pod: client.V1Pod) -> bool:
    conditions = (pod.status and pod.status.conditions) or []
    return any(each.type == "Ready" and each.status == "True" for each in conditions)


def _number(port: object, pod: client.V1Pod) -> int:
    """Find the number of a service's port, which may be named after one of the pod's."""
    if str(port).isdigit():
        return int(str(port))
    for container in (pod.spec and pod.spec.containers) or []:
        for each in container.ports or []:
            if each.name == port:
                return each.container_port
    raise _not_found(f"pod {_name(pod)} has no port named {port}")
