"""What holds for every test: which ones this machine can run, and which ones CI must not skip.

Tests marked `kernel` or `e2e` need root and a kernel that loads BPF programs; elsewhere they are
skipped with the reason. Where CI=true is set such a skip fails the run: green must mean tested.
"""

import ctypes
import errno
import importlib.machinery
import os
import platform
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

# A deadline would be a limit on speed, and this machine may be busy.
settings.register_profile("leavitt", deadline=None)
settings.load_profile("leavitt")

pytest_plugins = ["pytester"]

PRIVILEGED_MARKS = ("kernel", "e2e")
BPF_SYSCALL = {"x86_64": 321, "aarch64": 280}
BPF_MAP_CREATE = 0
BPF_MAP_TYPE_ARRAY = 2


def pytest_configure(config: pytest.Config) -> None:
    """Watch for skips that CI forbids."""
    config.pluginmanager.register(SkipWatch(forbidden=os.environ.get("CI") == "true"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run; the kernel is asked only if a test needs it."""
    for item in items:
        if any(item.get_closest_marker(mark) for mark in PRIVILEGED_MARKS):
            reason = why_no_bpf()
            if reason is not None:
                item.add_marker(pytest.mark.skip(reason=reason))


@cache
def why_no_bpf() -> str | None:
    """Return what keeps BPF programs from being loaded here, or None if they can be."""
    if os.geteuid() != 0:
        return "needs root"
    if platform.machine() not in BPF_SYSCALL:
        return f"needs x86_64 or aarch64, not {platform.machine()}"
    if not has_bcc(sys.path):
        return "needs BCC: apt-get install python3-bpfcc, then make setup"
    return why_bpf_is_refused()


def has_bcc(search_path: Iterable[str]) -> bool:
    """Tell whether `import bcc` brings the compiler, without paying for the import (75 MB)."""
    spec = importlib.machinery.PathFinder.find_spec("bcc", list(search_path))
    # libbcc.py tells it from PyPI's geometry library of the same name.
    return bool(spec and spec.origin and Path(spec.origin).with_name("libbcc.py").exists())


def why_bpf_is_refused() -> str | None:
    """Create a small BPF map; return the kernel's reason if it refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    # union bpf_attr for BPF_MAP_CREATE: map_type, key_size, value_size, max_entries
    attributes = (ctypes.c_uint32 * 4)(BPF_MAP_TYPE_ARRAY, 4, 4, 1)
    fd = libc.syscall(
        BPF_SYSCALL[platform.machine()],
        BPF_MAP_CREATE,
        ctypes.byref(attributes),
        ctypes.sizeof(attributes),
    )
    if fd < 0:
        return f"needs BPF, the kernel says {errno.errorcode[ctypes.get_errno()]}"
    os.close(fd)
    return None


class SkipWatch:
    """Collects skipped `kernel` and `e2e` tests; fails the run for them where that is forbidden."""

    def __init__(self, *, forbidden: bool) -> None:
        self._forbidden = forbidden
        self._skipped: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a skipped test; an expected failure is reported as skipped too, but did run."""
        marked = any(mark in report.keywords for mark in PRIVILEGED_MARKS)
        if report.skipped and marked and not hasattr(report, "wasxfail"):
            self._skipped.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that skipped itself as a whole: its marks were never read."""
        if report.skipped:
            self._skipped.append(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Turn success into failure if something was skipped that must not be."""
        if self._forbidden and self._skipped and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say how much was not tested."""
        terminalreporter.write_line(f"skipped kernel and e2e tests: {len(self._skipped)}")
        if self._forbidden:
            for nodeid in self._skipped:
                terminalreporter.write_line(f"must not be skipped here: {nodeid}", red=True)
