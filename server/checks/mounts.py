"""Which of the kernel's file systems are mounted? bpffs, cgroups, tracefs."""

from pathlib import Path
from typing import Final, NamedTuple

from server.checks.finding import Finding, blocker, fine, warning
from server.settings import Settings

_MOUNTS: Final = Path("/proc/self/mountinfo")


class Mount(NamedTuple):
    """One line of mountinfo."""

    point: Path
    kind: str


def bpffs(settings: Settings) -> Finding:
    """Ask for the file system of pins."""
    name, folder = "bpffs", settings.bpffs
    kind = kind_of(folder, mounts())
    if kind == "bpf":
        return fine(name, f"mounted at {folder}")
    if folder.exists() and not folder.is_dir():
        return blocker(name, f"{folder} is no folder", "name another one with --bpffs")
    found = f"not mounted at {folder} ({kind}); the server mounts it"
    remedy = f"mount -t bpf bpf {folder}: in a container on the host, or pins end with it"
    return warning(name, found, remedy)


def cgroups(settings: Settings) -> Finding:
    """Ask for the version of control groups; nothing here needs them yet."""
    del settings
    kinds = {each.kind for each in mounts()} & {"cgroup", "cgroup2"}
    names = {
        frozenset({"cgroup"}): "version 1",
        frozenset({"cgroup2"}): "version 2",
        frozenset({"cgroup", "cgroup2"}): "hybrid: versions 1 and 2",
    }
    return fine("cgroups", f"{names.get(frozenset(kinds), 'not mounted')}; not needed")


def tracefs(settings: Settings) -> Finding:
    """Ask for the file system of trace points; nothing here needs it yet."""
    del settings
    points = [str(each.point) for each in mounts() if each.kind == "tracefs"]
    return fine("tracefs", f"{', '.join(points) or 'not mounted'}; not needed")


def mounts() -> list[Mount]:
    """Read what this process has mounted, in order of mounting."""
    found = []
    for line in _MOUNTS.read_text().splitlines():
        before, _, after = line.partition(" - ")
        # blanks and the like are octal escapes
        point = before.split(" ")[4].encode("latin-1", "backslashreplace").decode("unicode_escape")
        found.append(Mount(Path(point), after.split(" ")[0]))
    return found


def kind_of(path: Path, among: list[Mount]) -> str:
    """Tell the type of the file system that a path is in, the last mounted where several lie."""
    best = Mount(Path("/"), "")
    for mount in among:
        is_deeper = len(mount.point.parts) >= len(best.point.parts)
        if is_deeper and path.resolve().is_relative_to(mount.point):
            best = mount
    return best.kind
