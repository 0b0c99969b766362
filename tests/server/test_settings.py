"""Settings: who wins, and messages that name setting, origin and value."""

from pathlib import Path

import pytest

from api.process.errors import SettingError
from server.configure import resolve
from server.settings import GROUPS, Settings


def test_flag_wins_over_environment_over_file_over_default(tmp_path: Path) -> None:
    config = tmp_path / "server.yaml"
    config.write_text("node-name: from-file\ncluster-name: from-file\nconnections: 10\n")
    environ = {"HUBBLE_SERVER_NODE_NAME": "from-env", "HUBBLE_SERVER_CLUSTER_NAME": "from-env"}

    settings = resolve(["--config", str(config), "--node-name", "from-flag"], environ)

    assert settings.node_name == "from-flag"
    assert settings.cluster_name == "from-env"
    assert settings.connections == 10
    assert settings.event_buffer_capacity == 65_535


def test_the_file_may_come_from_the_environment_and_the_flag_wins(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("node-name: a\n")
    (tmp_path / "b.yaml").write_text("node-name: b\n")
    environ = {"HUBBLE_SERVER_CONFIG": str(tmp_path / "a.yaml"), "PATH": "/bin"}

    assert resolve([], environ).node_name == "a"
    assert resolve(["--config", str(tmp_path / "b.yaml")], environ).node_name == "b"


@pytest.mark.parametrize(
    ("argv", "value"),
    [
        (["--per-packet"], True),
        (["--per-packet=false"], False),
        (["--per-packet", "yes"], True),
    ],
)
def test_switches(argv: list[str], value: bool) -> None:
    assert resolve(argv, {}).per_packet is value


def test_lists_by_commas_by_repetition_and_in_files(tmp_path: Path) -> None:
    config = tmp_path / "server.yaml"
    config.write_text("interface: ['veth*', br0]\ncontainer-socket: none\n")
    assert resolve(["--interface", "a,b*", "--interface=c"], {}).interface == ("a", "b*", "c")
    found = resolve(["--config", str(config)], {})
    assert (found.interface, found.container_socket) == (("veth*", "br0"), ())
    assert resolve([], {"HUBBLE_SERVER_INTERFACE": "x, y"}).interface == ("x", "y")


def test_yaml_booleans_and_durations(tmp_path: Path) -> None:
    config = tmp_path / "server.yaml"
    config.write_text("per-packet: true\nreport-interval: 1m30s\nspeed: max\n")
    settings = resolve(["--config", str(config)], {})
    assert (settings.per_packet, settings.report_interval, settings.speed) == (True, 90.0, None)


@pytest.mark.parametrize(
    ("argv", "environ", "file", "message"),
    [
        (["--event-buffer-capacity", "4096"], {}, None,
         "set event-buffer-capacity from flag --event-buffer-capacity: .* of two: '4096'"),
        (["--event-buffer-capacity", "33554431"], {}, None, "expected at most 16777215"),
        (["--listen-address", ":70000"], {}, None, "port from 0 to 65535: ':70000'"),
        (["--listen-address", "::1:80"], {}, None, "expected host:port, .ipv6.:port or :port"),
        (["--report-interval", "5"], {}, None, "expected a duration such as 300ms.*: '5'"),
        (["--speed", "-1"], {}, None, "expected a factor above 0, or max: '-1'"),
        (["--state", "/nowhere"], {}, None, "set state .*expected a folder, found none"),
        (["--netns", "no-such-namespace"], {}, None, "no /run/netns/no-such-namespace"),
        (["--ring-bytes", "5000"], {}, None, "expected a power of two"),
        (["--node-name", "a b"], {}, None, "set node-name .*: 'a b'"),
        (["--mode", "watch"], {}, None, "expected one of enforce, observe: 'watch'"),
        (["--interface", "veth*,,x"], {}, None, "set interface .*such as veth.*: 'veth\\*,,x'"),
        (["--interface", "a b"], {}, None, "set interface from flag --interface: .*: 'a b'"),
        (["--container-socket", ""], {}, None, "set container-socket .*expected a path"),
        (["--log-level", "loud"], {}, None, "expected one of debug, info, warning, error"),
        ([], {"HUBBLE_SERVER_CONNECTIONS": "none"}, None,
         "set connections from environment HUBBLE_SERVER_CONNECTIONS: .*: 'none'"),
        ([], {"HUBBLE_SERVER_BOGUS": "1"}, None, "HUBBLE_SERVER_BOGUS: no such setting"),
        ([], {}, "bogus: 1", "set bogus from file .*: no such setting"),
        ([], {}, "- a list", "expected a mapping of settings"),
        ([], {}, "a: [", r"configuration file .*server.yaml: not YAML at line 1, column 5"),
        ([], {}, "connections: 0", "set connections from file .*: '0'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(
    tmp_path: Path,
    argv: list[str],
    environ: dict[str, str],
    file: str | None,
    message: str,
) -> None:
    if file is not None:
        (tmp_path / "server.yaml").write_text(file)
        argv = [*argv, "--config", str(tmp_path / "server.yaml")]
    with pytest.raises(SettingError, match=message):
        resolve(argv, environ)


def test_help_names_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        resolve(["--help"], {})
    assert ended.value.code == 0
    text = capsys.readouterr().out
    grouped = [key for keys in GROUPS.values() for key in keys]
    assert sorted(grouped) == sorted(Settings.__dataclass_fields__)
    assert all("--" + key.replace("_", "-") in text for key in grouped)
