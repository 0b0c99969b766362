"""`hubble config`: what it shows, what it writes, what it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli.app import run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Screen

DEFAULTS = """\
basic-auth-password: ""
basic-auth-username: ""
config: {home}/.config/hubble/config.yaml
debug: false
kube-context: ""
kube-namespace: kube-system
kubeconfig: ""
port-forward: false
port-forward-port: 4245
request-timeout: 12s
server: localhost:4245
timeout: 5s
tls: false
tls-allow-insecure: false
tls-ca-cert-files: []
tls-client-cert-file: ""
tls-client-key-file: ""
tls-server-name: ""
"""


def config(screen: Screen, home: Path, *words: str, **environ: str) -> int:
    screen.sink.truncate(0)
    screen.sink.seek(0)
    screen.warnings.clear()
    return run(["config", *words], screen.surroundings({"HOME": str(home), **environ}))


def written(home: Path) -> str:
    return (home / ".config/hubble/config.yaml").read_text()


@pytest.mark.parametrize("words", [["view"], ["get"], ["view", "whatever"]])
def test_all_settings(words: list[str], screen: Screen, tmp_path: Path) -> None:
    assert config(screen, tmp_path, *words) == 0
    assert screen.out == DEFAULTS.format(home=tmp_path)


def test_view_is_what_is_in_force(screen: Screen, tmp_path: Path) -> None:
    config(screen, tmp_path, "set", "server", "file:1")
    config(screen, tmp_path, "set", "tls-server-name", "file")
    path = tmp_path / ".config/hubble/config.yaml"
    path.write_text(f"{path.read_text()}color: x\n")
    environ = {"HUBBLE_TLS_SERVER_NAME": "environment"}
    assert config(screen, tmp_path, "view", "--timeout", "1m", **environ) == 0
    lines = screen.out.splitlines()
    assert {"server: file:1", "tls-server-name: environment", "timeout: 1m0s"} <= set(lines)
    assert "color: x" in lines, "strange keys are shown"
    keys = [line.partition(":")[0] for line in lines]
    assert keys == sorted(keys)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["get", "server"], "localhost:4245\n"),
        (["get", "tls"], "false\n"),
        (["get", "timeout"], "5s\n"),
        (["get", "port-forward-port"], "4245\n"),
        (["get", "tls-ca-cert-files"], "[]\n"),
        (["get", "tls-ca-cert-files", "--tls-ca-cert-files", "a,b"], "- a\n- b\n"),
        (["get", "kubeconfig"], '""\n'),
        (["get", "server", "--server", "flag:3"], "flag:3\n"),
    ],
)
def test_get(words: list[str], text: str, screen: Screen, tmp_path: Path) -> None:
    assert config(screen, tmp_path, *words) == 0
    assert screen.out == text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["server", "foo:1"], "server: foo:1\n"),
        (["server"], "server: localhost:4245\n"),
        (["timeout", "7"], "timeout: 7ns\n"),
        (["timeout", "90m"], "timeout: 1h30m0s\n"),
        (["tls", "TRUE"], "tls: true\n"),
        (["tls-ca-cert-files", "a,b"], "tls-ca-cert-files:\n    - a\n    - b\n"),
        (["tls-ca-cert-files", '["c,d",e]'], "tls-ca-cert-files:\n    - c,d\n    - e\n"),
        (["tls-ca-cert-files", "[]"], "tls-ca-cert-files: []\n"),
        (["port-forward-port", "77"], "port-forward-port: 77\n"),
        (["kubeconfig", "5"], 'kubeconfig: "5"\n'),
        (["debug", "1"], "debug: true\n"),
    ],
)
def test_set(words: list[str], text: str, screen: Screen, tmp_path: Path) -> None:
    environ = {"HUBBLE_SERVER": "environment:1"}
    assert config(screen, tmp_path, "set", *words, "--tls-server-name", "x", **environ) == 0
    assert written(tmp_path) == text, "and nothing else"
    assert screen.out == ""


def test_reset(screen: Screen, tmp_path: Path) -> None:
    config(screen, tmp_path, "set", "server", "foo:1")
    config(screen, tmp_path, "set", "tls", "true")
    assert config(screen, tmp_path, "reset", "server") == 0
    assert written(tmp_path) == "server: localhost:4245\ntls: true\n"
    assert config(screen, tmp_path, "reset") == 0
    assert "tls: false\n" in written(tmp_path)
    assert "\nconfig:" not in written(tmp_path)


def test_settings_of_others_stay(screen: Screen, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text('color: x\ndebug: "true"\nkubeconfig: 5\n')
    assert config(screen, tmp_path, "set", "kube-namespace", "zz", "--config", str(path)) == 0
    assert path.read_text() == 'color: x\ndebug: "true"\nkube-namespace: zz\nkubeconfig: 5\n'


def test_set_without_a_value_is_the_default(screen: Screen, tmp_path: Path) -> None:
    assert config(screen, tmp_path, "set", "server", "file:1") == 0
    assert config(screen, tmp_path, "set", "server") == 0
    assert written(tmp_path) == "server: localhost:4245\n"


def test_json(screen: Screen, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    assert config(screen, tmp_path, "set", "server", "j:2", HUBBLE_CONFIG=str(path)) == 0
    assert path.read_text() == '{\n  "server": "j:2"\n}\n'
    assert config(screen, tmp_path, "get", "server", HUBBLE_CONFIG=str(path)) == 0
    assert screen.out == "j:2\n"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["get", "bogus"], "unknown key: bogus"),
        (["get", "last"], "unknown key: last"),
        (["get", "allowlist"], "unknown key: allowlist"),
        (["get", "SERVER"], "unknown key: SERVER"),
        (["get", ""], "unknown key: "),
        (["set", "bogus", "x"], "unknown key: bogus"),
        (["reset", "bogus"], "unknown key: bogus"),
        (["get", "a", "b"], "invalid arguments: get requires exactly 0 or 1 argument: got 'a b'"),
        (["set"], "invalid arguments: set requires exactly 1 or 2 argument(s): got ''"),
        (
            ["set", "a", "b", "c"],
            "invalid arguments: set requires exactly 1 or 2 argument(s): got 'a b c'",
        ),
        (
            ["reset", "a", "b"],
            "invalid arguments: resset requires exactly 0 or 1 argument: got 'a b'",
        ),
        (
            ["set", "tls", "yes"],
            (
                "cannot assign value=yes for key=tls, expected type=bool: "
                'strconv.ParseBool: parsing "yes": invalid syntax'
            ),
        ),
        (
            ["set", "timeout", "x"],
            (
                "cannot assign value=x for key=timeout, expected type=duration: "
                'time: invalid duration "x"'
            ),
        ),
        (
            ["set", "port-forward-port", "70000"],
            (
                "cannot assign value=70000 for key=port-forward-port, expected type=uint16: "
                'strconv.ParseUint: parsing "70000": value out of range'
            ),
        ),
        (["set", "config", "/x"], "key=config cannot be set: a file does not say where it is"),
    ],
)
def test_refusals(words: list[str], text: str, screen: Screen, tmp_path: Path) -> None:
    assert config(screen, tmp_path, *words) == 1
    assert (screen.out, screen.err) == ("", f"{text}\n")
    assert not (tmp_path / ".config").exists()


def test_a_strange_key_of_the_file_is_told_apart(screen: Screen, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("color: x\n")
    assert config(screen, tmp_path, "get", "color", "--config", str(path)) == 1
    assert screen.err == "key=color not bound to a flag\n"


def test_contradicting_server_flags_do_not_matter(screen: Screen, tmp_path: Path) -> None:
    words = ("get", "tls", "--tls-client-cert-file", "only-this")
    assert config(screen, tmp_path, *words) == 0


@pytest.mark.parametrize("words", [[], ["bogus"]])
def test_without_a_command_it_helps(words: list[str], screen: Screen, tmp_path: Path) -> None:
    assert config(screen, tmp_path, *words) == 0
    assert screen.out.startswith("Show settings, and change those in the configuration file.\n")
