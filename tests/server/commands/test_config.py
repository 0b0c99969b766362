"""The printed configuration: origins, and that a server given it has the same settings."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.process import parse, show
from api.process.configure import resolve_flags
from api.process.errors import SettingError
from api.process.flags import Origin
from api.process.written import written
from server.commands.config import main
from server.configure import resolve
from server.settings import SCHEMA

GOLDEN = Path(__file__).with_name("golden")


def printed(capsys: pytest.CaptureFixture[str], *argv: str, **environ: str) -> str:
    assert main(argv, environ) == 0
    return capsys.readouterr().out


def test_each_value_has_its_origin(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "server.yaml"
    file.write_text("report-interval: 90s\nconnections: 1024\nper-packet: on\n")
    text = printed(
        capsys,
        *("--config", str(file), "--node-name", "010", "--speed", "max"),
        *("--socket-path", "/run/a b #c", "--shutdown-grace=1500us"),
        HUBBLE_SERVER_CONNECTIONS="2048",
        HUBBLE_SERVER_LISTEN_ADDRESS=":4244",
    )
    expected = (GOLDEN / "config.yaml").read_text()
    assert text.replace(str(file), "FILE") == expected


def test_it_is_a_configuration_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    argv = ["--node-name=no", "--speed=2.5", "--per-packet", "--ring-bytes=65536", "--record=x: y"]
    argv += ["--listen-address=[::1]:0", "--shutdown-grace=1h0.5s"]
    file = tmp_path / "printed.yaml"
    file.write_text(printed(capsys, *argv))
    assert resolve(["--config", str(file)], {}) == resolve(argv, {})


@given(
    socket_path=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    place=st.text(st.characters(exclude_categories=["Cs"])),
)
def test_any_path_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, socket_path: str, place: str
) -> None:
    flags = {"socket_path": Origin(text=socket_path, place=f"file {place}")}
    resolved = resolve_flags(SCHEMA, flags, {})
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(written(SCHEMA, resolved), encoding="utf-8")
    assert resolve(["--config", str(file)], {}) == resolved.settings


@given(whole_ns=st.integers(0, 10**16))
def test_durations_are_read_back(whole_ns: int) -> None:
    text = show.duration_s(whole_ns / 1e9)
    assert parse.duration_s(text) == pytest.approx(whole_ns / 1e9, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0s"), (1e-9, "1ns"), (1.5e-6, "1.5us"), (0.3, "300ms"), (1.0, "1s"),
        (5.25, "5.25s"), (60.0, "1m0s"), (90.0, "1m30s"), (3600.0, "1h0m0s"),
        (90_061.5, "25h1m1.5s"),
    ],
)  # fmt: skip
def test_durations_are_spelled_as_in_go(value: float, text: str) -> None:
    assert show.duration_s(value) == text


def test_a_wrong_setting_is_refused() -> None:
    with pytest.raises(SettingError, match="set connections from flag --connections"):
        main(["--connections", "none"], {})
