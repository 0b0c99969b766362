"""A lab that stands: reach its pods, run programs in them; build it and take it down.

    with open_lab(scenario("empire"), run="t1", plain=True) as lab:
        lab.execute("xwing", ["ping", "-c1", "10.244.1.21"])

Everything started here is noted in the run's folder before it can be forgotten. Who needs a lab
that outlives the process, as `hubble-lab up` does, calls `build` and `Run.remove` alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import LabError, ObjectError, ProcessError
from lab.namespaces import NETNS_FOLDER, enter, replace_files
from lab.network import apply
from lab.objects import read_objects
from lab.pod_files import write_pod_files
from lab.processes import record
from lab.programs import typed
from lab.readiness import wait_ready
from lab.runs import BPFFS, Run, require_root
from lab.topology import build_topology
from lab.wiring import plan
from observer.kernel.hold import node_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lab.topology import Node, Pod, Topology

SCENARIOS = Path(__file__).with_name("scenarios")
NODE_LINE = "\nkind: Node\n"
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Lab:
    """The nodes and pods of one run, ready to be used."""

    def __init__(self, run: Run, topology: Topology) -> None:
        self.run = run
        self.topology = topology
        self._started: list[tuple[str, subprocess.Popen[bytes]]] = []

    @classmethod
    def find(cls, run: Run) -> Lab:
        """Give a lab that an earlier process built. LabError if it is not complete."""
        if not run.is_up:
            down = f"{typed('hubble-lab')} down --run {run.name}"
            raise LabError(f"run {run.name} is not up; remove its rest: {down}")
        return cls(run, build_topology(read_objects(run.built), run.name))

    @property
    def state(self) -> Path:
        """The folder of Kubernetes objects; a file added here is a change in the cluster."""
        return self.run.state

    def node_netns(self, name: str) -> Path:
        """Give the path of a node's network namespace, as `hubble-server --netns` wants it."""
        return NETNS_FOLDER / self.topology.node(name).netns

    def environment(self, pod: Pod) -> dict[str, str]:
        """Give the variables a program in a pod sees: none of the machine's own, no proxies."""
        own_programs = Path(sys.executable).parent
        kept = {key: os.environ[key] for key in ("TERM", "LANG", "HOME") if key in os.environ}
        return kept | {
            "PATH": f"{own_programs}:{SEARCH_PATH}",
            "HOSTNAME": pod.name,
            "POD_NAMESPACE": pod.namespace,
            "HUBBLE_LAB_STATE": str(self.state),
        }

    def entrance(self, pod: Pod) -> Callable[[], None]:
        """Give what moves a process into a pod; for `preexec_fn`, between fork and exec."""
        files = {
            Path("/etc") / content.name: content for content in (self.run.etc / pod.netns).iterdir()
        }

        def go_in() -> None:
            enter(pod.netns)
            replace_files(files)

        return go_in

    def execute(
        self, pod_key: str, command: Sequence[str], *, timeout_s: float = 10.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a pod to its end and give what it printed and returned."""
        pod = self.topology.pod(pod_key)
        return subprocess.run(  # noqa: S603 - running what it is told is its purpose
            list(command),
            preexec_fn=self.entrance(pod),
            env=self.environment(pod),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def start_in_pod(self, pod: Pod, name: str, command: Sequence[str]) -> None:
        """Start a program in a pod that runs on until the lab is taken down."""
        self._start(f"{pod.netns}-{name}", command, self.environment(pod), self.entrance(pod))

    def start_on_machine(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a program outside the lab's namespaces that ends with the lab at the latest."""
        return self._start(name, command, os.environ, None)

    def start_on_node(self, node: Node, name: str, command: Sequence[str]) -> None:
        """Start a program in a node's network, with the machine's files, that ends with the lab."""
        self._start(name, command, os.environ, partial(enter, node.netns))

    def check_processes(self) -> None:
        """Raise ProcessError with the last lines of its log if a started program has ended."""
        for name, process in self._started:
            status = process.poll()
            if status is not None:
                raise ProcessError(f"{name} ended with status {status}: {self.log_tail(name)}")

    def log_tail(self, name: str, line_count: int = 5) -> str:
        """Give the last lines that a started program has printed."""
        text = (self.run.logs / f"{name}.log").read_text(errors="replace")
        return " | ".join(text.splitlines()[-line_count:]) or "it printed nothing"

    def wait_ready(self) -> None:
        """Return when all pods can be used. ProcessError or NetworkError if one cannot."""
        for pod in self.topology.pods:
            wait_ready(pod, self.check_processes)

    def reap(self) -> None:
        """Collect the ends of our children, after `Run.remove` has ended them."""
        for _, process in self._started:
            process.wait()

    def _start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        entrance: Callable[[], None] | None,
    ) -> subprocess.Popen[bytes]:
        with (self.run.logs / f"{name}.log").open("ab") as log:
            try:
                process = subprocess.Popen(  # noqa: S603 - the command comes from the scenario
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    preexec_fn=entrance,
                    # Ctrl-C at the terminal is for the foreground, not for pods.
                    start_new_session=True,
                )
            except OSError as error:
                raise ProcessError(f"start {name}: {command[0]}: {error.strerror}") from None
            except subprocess.SubprocessError as error:
                # All that Python says of an error on the way into a namespace.
                raise ProcessError(f"start {name}: cannot enter its network: {error}") from None
        record(self.run.processes, process.pid, name)
        self._started.append((name, process))
        return process


def scenario(name: str) -> Path:
    """Give the file of a scenario that comes with the lab. LabError naming those there are."""
    path = SCENARIOS / f"{name}.yaml"
    if not path.is_file():
        # The other files are for a lab that is up.
        with_nodes = (each for each in SCENARIOS.glob("*.yaml") if NODE_LINE in each.read_text())
        names = sorted(each.stem for each in with_nodes)
        raise LabError(f"no scenario {name!r}; there are {', '.join(names)}")
    return path


def build(file: Path, run: Run, *, plain: bool, bpffs: Path = BPFFS) -> Lab:
    """Build a lab from a scenario file and return when it is ready. The caller holds the lock.

    What an earlier run of the same name left is removed first; on failure, so is what was built.
    `bpffs` is where its servers will pin programs; a plain lab has no servers.
    """
    require_root()
    objects = read_objects(file)
    if not any(each.kind == "Node" for each in objects):
        raise ObjectError(f"{file}: no Node object: a lab needs at least one")
    topology = build_topology(objects, run.name)
    run.remove()
    lab = Lab(run, topology)
    try:
        servers = [] if plain else topology.nodes
        run.begin([node_folder(node=node.name, bpffs=bpffs) for node in servers])
        run.built.write_bytes(file.read_bytes())
        publish(file, lab)
        apply(plan(topology, plain=plain))
        write_pod_files(topology, objects, run)
        for pod in topology.pods:
            for container in pod.containers:
                if container.command:
                    lab.start_in_pod(pod, container.name, container.command)
        lab.wait_ready()
        run.complete()
    except BaseException:
        take_down(lab)
        raise
    return lab


def publish(file: Path, lab: Lab) -> None:
    """Put a file of objects into the state folder, whole at once for whoever watches it."""
    hidden = lab.state / f".{file.name}"
    hidden.write_bytes(file.read_bytes())
    hidden.rename(lab.state / file.name)


@contextmanager
def open_lab(
    file: Path, *, run: str, plain: bool = False, own_bpffs: bool = False
) -> Iterator[Lab]:
    """Have a lab for the length of a block: leftovers removed, built, taken down at the end.

    With `own_bpffs` its servers pin in `Run.own_bpffs`, so that their names need not be unique.
    """
    place = Run(name=run)
    with place.lock():
        lab = build(file, place, plain=plain, bpffs=place.own_bpffs if own_bpffs else BPFFS)
        try:
            yield lab
        finally:
            take_down(lab)


def take_down(lab: Lab) -> None:
    """Remove a lab that this process built, and everything that runs in it."""
    try:
        lab.run.remove()
    finally:
        lab.reap()
