"""What is asked of the kernel; what this one can is tried, what it could lack is played."""

import errno
import os
import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from observer.kernel import features
from server.checks import kernel, trial
from server.checks.finding import Probe, State
from server.settings import Settings

TRIED: dict[str, Probe] = {
    "try_bpf": kernel.bpf,
    "try_lpm_batches": kernel.lpm_batches,
    "try_spin_lock": kernel.spin_lock,
    "try_redirect_peer": kernel.redirect_peer,
    "try_tcx": kernel.tcx,
}


@pytest.mark.kernel
@pytest.mark.parametrize("name", TRIED)
def test_each_feature_is_there_and_leaves_no_descriptor(name: str) -> None:
    before = os.listdir("/proc/self/fd")
    assert TRIED[name](Settings()).state is State.OK
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("name", TRIED)
@pytest.mark.parametrize(
    ("number", "user", "state", "found"),
    [
        (errno.EINVAL, 0, State.BLOCKER, "refused: Invalid argument"),
        (errno.EPERM, 0, State.BLOCKER, "refused: Operation not permitted"),
        (errno.EPERM, 1000, State.WARNING, "not tried: needs root"),
    ],
)
def test_what_a_kernel_lacks(
    name: str, number: int, user: int, state: State, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(features, name, refuse)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    finding = TRIED[name](Settings(attach="tcx"))
    assert (finding.state, finding.found) == (state, found)
    assert finding.remedy


@pytest.mark.parametrize(
    ("attach", "found"),
    [
        ("auto", "refused: Invalid argument; clsact is used"),
        ("clsact", "not asked for: --attach clsact"),
    ],
)
def test_tcx_may_be_missing_where_clsact_will_do(
    attach: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(features, "try_tcx", refuse)
    finding = kernel.tcx(Settings(attach=attach))
    assert (finding.state, finding.found) == (State.OK, found)


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("constant", "value", "attempt"),
    [
        # a helper, a hook, a kind of map and a type that no kernel has
        ("_REDIRECT_PEER", 0x7FFF, features.try_redirect_peer),
        ("_TCX_INGRESS", 0x7FFF, features.try_tcx),
        ("_LPM_TRIE", 0x7FFF, features.try_lpm_batches),
        ("_SCHED_CLS", 0x7FFF, features.try_tcx),
    ],
)
def test_a_kernel_without_it_is_told_from_one_with_it(
    constant: str, value: int, attempt: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, constant, value)
    with pytest.raises(OSError, match="Invalid argument"):
        attempt()


@pytest.mark.kernel
def test_a_lock_without_types_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    good = features._lock_types()
    renamed = good.replace(b"bpf_spin_lock", b"bpf_spun_lock")
    monkeypatch.setattr(features, "_lock_types", lambda: renamed[:-1])
    with pytest.raises(OSError, match="Invalid argument"):
        features.try_spin_lock()


@pytest.mark.parametrize(
    ("release", "machine", "state"),
    [
        ("6.6.0", "x86_64", State.OK),
        ("6.18.44-fc", "aarch64", State.OK),
        ("7.0.0-rc1", "x86_64", State.OK),
        ("5.15.0-91-generic", "x86_64", State.OK),
        ("5.14.21", "x86_64", State.WARNING),
        ("odd", "x86_64", State.WARNING),
        ("6.12.0", "riscv64", State.BLOCKER),
    ],
)
def test_version(release: str, machine: str, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "release", lambda: release)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert kernel.version(Settings()).state is state


@pytest.mark.parametrize(
    ("content", "state"),
    [("0\n", State.WARNING), ("1\n", State.OK), ("2\n", State.OK), (None, State.OK)],
)
def test_jit(
    content: str | None, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "_JIT", tmp_path / "jit")
    if content is not None:
        (tmp_path / "jit").write_text(content)
    assert kernel.jit(Settings()).state is state


@pytest.mark.kernel
def test_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kernel.perf_rings(Settings()).state is State.OK
    monkeypatch.setattr(features, "try_perf_ring", lambda cpu: False)
    assert kernel.perf_rings(Settings()).state is State.WARNING


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("mode", "attach"), [("enforce", "tcx"), ("enforce", "clsact"), ("observe", "tcx")]
)
def test_the_trial_sees_a_packet_and_leaves_nothing(
    mode: str, attach: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    mounts, links = Path("/proc/self/mountinfo").read_text, Path("/proc/net/dev").read_text
    found = trial.trial(Settings(attach=attach, mode=mode))
    assert found.state is State.OK, found.found
    assert f"attached ({attach})" in found.found
    assert "a packet was reported" in found.found
    assert not list(tmp_path.iterdir())
    assert str(tmp_path) not in mounts()
    assert "host0:" not in links()


@pytest.mark.kernel
def test_the_trial_fails_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bcc").mkdir()
    (tmp_path / "bcc" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = trial.trial(Settings())
    assert found.state is State.BLOCKER
    assert "is another package of that name" in found.found
