"""The configuration file as a layer below environment and flags, and how it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from cli.app import run
from cli.commands.tree import FLOWS
from cli.configfile import ConfigFile, default_path, file_layer
from cli.errors import CliError, UsageError
from cli.flags.arguments import Arguments, environment_layer
from cli.flags.scan import flags_of
from cli.yamltext import mapping_text

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Screen


def arguments(path: Path, warnings: list[str], *words: str, **environ: str) -> Arguments:
    layers = (environment_layer(environ), file_layer(lambda: str(path), warnings.append))
    read = Arguments(words, flags_of(FLOWS), layers)
    read.read()
    return read


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({}, ""),
        ({"HOME": "/h"}, "/h/.config/hubble/config.yaml"),
        ({"HOME": "/h", "XDG_CONFIG_HOME": "/x"}, "/x/hubble/config.yaml"),
        ({"HOME": "/h", "XDG_CONFIG_HOME": "x"}, "/h/.hubble/config.yaml"),
    ],
)
def test_default_path(environ: dict[str, str], path: str) -> None:
    assert default_path(environ) == path


def test_file_below_environment_below_flag(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("server: file:1\ntls-server-name: file\ntls: true\n")
    values = arguments(path, [], "--server", "typed:1", HUBBLE_TLS_SERVER_NAME="environment")
    assert values.text("server") == "typed:1"
    assert values.text("tls-server-name") == "environment"
    assert values.on("tls")
    assert values.text("kube-namespace") == "kube-system"


def test_words_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "SERVER: y\nkubeconfig: 017\nrequest-timeout: 5\ntimeout: 3s\nport-forward-port: 9\n"
        "tls-ca-cert-files: a b\nallowlist:\n  - '{\"uuid\": [\"x\"]}'\ntls: ''\noutput: json\n"
    )
    values = arguments(path, [])
    assert values.text("server") == "y"
    assert values.text("kubeconfig") == "017"
    assert values.number("request-timeout") == 5
    assert values.number("timeout") == 3_000_000_000
    assert values.number("port-forward-port") == 9
    assert values.texts("tls-ca-cert-files") == ("a", "b")
    assert values.texts("allowlist") == ('{"uuid": ["x"]}',)
    assert not values.on("tls")
    assert values.text("output") == "compact", "no setting"


@pytest.mark.parametrize(
    ("text", "flag", "message"),
    [
        ("tls: maybe", "tls", 'invalid value "maybe" of tls in {}: strconv.ParseBool: '),
        ("server: [a, b]", "server", "invalid value ['a', 'b'] of server in {}: not a list"),
        ("port-forward-port: 70000", "port-forward-port", 'invalid value "70000" of port-'),
    ],
)
def test_bad_values_name_file_key_and_value(
    text: str, flag: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    values = arguments(path, [])
    with pytest.raises(UsageError) as caught:
        values.value(flags_of(FLOWS).long[flag])
    assert str(caught.value).startswith(message.format(path))


@pytest.mark.parametrize("text", ["server: [\n", "just text\n", "a: b: c\n", "\x00"])
def test_a_broken_file_is_told_of_once_and_ignored(text: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    warnings: list[str] = []
    values = arguments(path, warnings)
    assert values.text("server") == "localhost:4245"
    assert values.text("kubeconfig") == ""
    (warning,) = warnings
    assert warning.startswith('level=WARN msg="The configuration file is not used" configFile=')
    with pytest.raises(CliError, match=r"^While parsing config: yaml: "):
        ConfigFile(str(path)).change({"server": "x"})
    assert path.read_text() == text


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_an_empty_file_says_nothing(text: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    warnings: list[str] = []
    assert arguments(path, warnings).text("server") == "localhost:4245"
    assert not warnings


def test_filters_of_a_file_reach_the_command(tmp_path: Path, screen: Screen) -> None:
    path = tmp_path / "c.yaml"
    assert run(["observe", "--pod", "a/b", "--print-raw-filters"], screen.surroundings()) == 0
    path.write_text(screen.out)
    screen.sink.truncate(0)
    screen.sink.seek(0)
    words = ["observe", "--config", str(path), "--print-raw-filters"]
    assert run(words, screen.surroundings()) == 0
    assert screen.out == path.read_text()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("noext", "config type could not be determined for "),
        ("c.toml", 'Unsupported Config Type "toml"'),
    ],
)
def test_formats_that_cannot_be_written(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CliError) as caught:
        ConfigFile(str(tmp_path / name)).change({"server": "x"})
    assert str(caught.value).startswith(message)
    assert not (tmp_path / name).exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "c.yaml"
    with pytest.raises(CliError) as caught:
        ConfigFile(str(path)).change({"server": "x"})
    assert str(caught.value) == f"open {path}: not a directory"


def test_what_was_private_stays_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "c.yaml"
    file = ConfigFile(str(path))
    file.change({"server": "x"})
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o750
    path.chmod(0o640)
    file.change({"server": "y"})
    assert path.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in path.parent.iterdir()] == ["c.yaml"]


@pytest.mark.parametrize(
    "value",
    [
        *("", "plain", "a: b", "y", "no", "017", "1e3", "- x", "#c", "a #b", "'q'", '"', "\\"),
        *("null", "~", "2026-01-01", "{}", "[a]", "&a", "*a", "!t", "%x", "@", "`", " a", "a "),
        *(":", "é\n\t", True, False, 7, [], ["a", "", "b: c"], {}),
    ],
)
def test_what_is_written_reads_back(value: object) -> None:
    text = mapping_text({"key": value, "a": "before"})
    assert yaml.safe_load(text) == {"key": value, "a": "before"}
    assert text.startswith("a: before\nkey:")
