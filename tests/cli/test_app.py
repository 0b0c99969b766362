"""Command lines that need no server: versions, help, mistakes, filters shown."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from api.version import VERSION
from cli.app import run

if TYPE_CHECKING:
    from tests.cli.conftest import Screen


def test_version(screen: Screen) -> None:
    assert run(["version"], screen.surroundings()) == 0
    assert screen.out.startswith(f"hubble v{VERSION} (Leavitt) with Python ")


def test_version_flag(screen: Screen) -> None:
    assert run(["--version"], screen.surroundings()) == 0
    assert screen.out == f"hubble v{VERSION}\n"


def test_version_is_that_of_the_package() -> None:
    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    assert tomllib.loads(pyproject.read_text())["project"]["version"] == VERSION


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ([], "help_hubble"),
        (["--help"], "help_hubble"),
        (["help"], "help_hubble"),
        (["help", "observe"], "help_hubble_observe"),
        (["observe", "--last", "5", "-h"], "help_hubble_observe"),
        (["list", "bogus"], "help_hubble_list"),
        (["help", "list", "node"], "help_hubble_list_nodes"),
    ],
)
def test_help(words: list[str], page: str, screen: Screen, golden: Path) -> None:
    assert run(words, screen.surroundings()) == 0
    assert screen.out == (golden / f"{page}.txt").read_text()


def test_help_of_an_unknown_command(screen: Screen, golden: Path) -> None:
    assert run(["help", "bogus"], screen.surroundings()) == 0
    assert screen.out == ""
    first, rest = screen.err.split("\n", 1)
    assert first == "Unknown help topic [`bogus`]"
    assert rest == (golden / "help_hubble.txt").read_text()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["bogus"], 'unknown command "bogus" for "hubble"\n'),
        (["--bogus"], "unknown flag: --bogus\n"),
        (["observe", "-o", "bogus"], "invalid output format: bogus\n"),
        (["observe", "--ip", "1", "--not", "-o", "x"], "trailing --not found in the arguments\n"),
        (["observe", "-o", "x", "--first", "1", "--all"], "invalid output format: x\n"),
        (["observe", "--first", "1", "--last", "1"], "cannot set both --first and --last\n"),
        (["observe", "--first", "1", "--all"], "cannot set both --first and --all\n"),
        (["observe", "--first", "1", "-f"], "cannot set both --first and --follow\n"),
        (["observe", "--last", "1", "--all"], "cannot set both --last and --all\n"),
        (
            ["observe", "-f", "-o", "table"],
            "table output format is not compatible with follow mode\n",
        ),
        (
            ["observe", "--since", "x"],
            "failed to parse the since time: failed to convert x to time\n",
        ),
        (
            ["observe", "--until", "x"],
            "failed to parse the until time: failed to convert x to time\n",
        ),
        (
            ["observe", "--field-mask", "time"],
            "compact output format is not compatible with custom field mask\n",
        ),
        (
            ["observe", "-o", "json", "--field-mask", "source.labels.x"],
            (
                'failed to construct field mask: proto: invalid path "source.labels.x" '
                'for message "flow.Flow"\n'
            ),
        ),
        (
            ["observe", "--pod", "a", "--from-pod", "b"],
            (
                'invalid argument "b" for "--from-pod" flag: '
                "filters --from-pod and --pod cannot be combined\n"
            ),
        ),
        (
            ["observe", "--tls-client-cert-file", "x"],
            (
                "invalid flag(s): certificate and private key are both required, "
                "but only one was provided\n"
            ),
        ),
        (
            ["status", "--tls-client-cert-file", "x", "--tls-client-key-file", "y"],
            "invalid flag(s): transport layer security required\n",
        ),
        (
            ["list", "nodes", "--basic-auth-username", "x"],
            "invalid flag(s): must specify both basic-auth-username and basic-auth-password\n",
        ),
        (
            ["observe", "--tls", "--tls-ca-cert-files", "/does/not/exist"],
            "cannot load cert '/does/not/exist': open /does/not/exist: no such file or directory\n",
        ),
        (
            ["observe", "--tls", "--tls-ca-cert-files", "/dev/null"],
            "cannot process cert '/dev/null': must be a PEM encoded certificate\n",
        ),
        (
            ["observe", "--server", "nowhere"],
            "failed to connect to 'nowhere': parse address: missing port: 'nowhere'\n",
        ),
    ],
)
def test_mistakes(words: list[str], text: str, screen: Screen) -> None:
    assert run(words, screen.surroundings()) == 1
    assert (screen.out, screen.err) == ("", text)


DIAL = (
    'connection error: desc = "transport: Error while dialing: '
    'dial tcp 127.0.0.1:1: connect: connection refused"\n'
)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["observe"], f"rpc error: code = Unavailable desc = {DIAL}"),
        (["status"], f"failed getting status: rpc error: code = Unavailable desc = {DIAL}"),
        (["list", "nodes"], f"rpc error: code = Unavailable desc = {DIAL}"),
    ],
)
def test_no_server(words: list[str], text: str, screen: Screen) -> None:
    assert run(words, screen.surroundings({"HUBBLE_SERVER": "127.0.0.1:1"})) == 1
    assert screen.err == text


def test_shows_raw_filters_without_a_server(screen: Screen) -> None:
    words = ["observe", "-n", "a", "--not", "--label", "<x>", "--print-raw-filters"]
    environ = {"HUBBLE_ALLOWLIST": '{"uuid":["u"]}'}
    assert run(words, screen.surroundings(environ)) == 0
    assert screen.out == (
        "allowlist:\n"
        """    - '{"source_pod":["a/"]}'\n"""
        """    - '{"destination_pod":["a/"]}'\n"""
        """    - '{"uuid":["u"]}'\n"""
        "denylist:\n"
        """    - '{"source_label":["\\u003cx\\u003e"]}'\n"""
        """    - '{"destination_label":["\\u003cx\\u003e"]}'\n"""
    )
