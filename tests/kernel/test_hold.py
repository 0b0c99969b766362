"""Who holds a node's folder, and what is said of one who lets go while one looks."""

import os
from pathlib import Path

import pytest

from observer.kernel import hold as holding
from observer.kernel.errors import KernelError
from observer.kernel.hold import hold


def test_who_lets_go_while_one_looks_is_no_reason_to_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = [hold(tmp_path, node="n1")]
    look = holding._holder

    def let_go_first(folder: os.stat_result) -> int | None:
        if held:
            os.close(held.pop())
        return look(folder)

    monkeypatch.setattr(holding, "_holder", let_go_first)
    os.close(hold(tmp_path, node="n1"))


@pytest.mark.parametrize("is_seen", [True, False], ids=["seen", "not seen"])
def test_who_is_alive_is_a_reason_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_seen: bool
) -> None:
    fd = hold(tmp_path, node="n1")
    if not is_seen:
        monkeypatch.setattr(holding, "_holder", lambda _: None)
    who = f"process {os.getpid()}" if is_seen else "another process"
    with pytest.raises(KernelError, match=f"^hold pins: {who} serves node n1, stop it first"):
        hold(tmp_path, node="n1", patience_s=3_600)
    os.close(fd)
    os.close(hold(tmp_path, node="n1"))
