"""Settings of any program: older names, what has no effect, and the file that is read by default.

Precedence and messages are tested with a real program's settings, in tests/server.
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import pytest

from api.process import parse, show
from api.process.configure import Resolved, resolve_flags
from api.process.errors import SettingError
from api.process.flags import setting_parser
from api.process.setting import Schema, Setting
from api.process.written import written


@dataclass(frozen=True, slots=True, kw_only=True)
class Toy:
    port: Annotated[int, Setting(parse.count, "a port")] = 80
    key_file: Annotated[Path | None, Setting(parse.path, "a key")] = None
    loud: Annotated[bool, Setting(parse.switch, "say more", show.switch)] = False


SCHEMA = Schema(
    settings=Toy,
    program="toy",
    environment="TOY_",
    groups={"All": ("port", "key_file", "loud")},
    aliases={"old_key_file": "key_file"},
    ignored=frozenset({"gops", "gops_port"}),
)


def resolved(*argv: str, schema: Schema[Toy] = SCHEMA, **environ: str) -> Resolved[Toy]:
    parser = setting_parser(schema, "toy", usage="toy [flags]", description="A toy.")
    return resolve_flags(schema, vars(parser.parse_args(argv)), environ)


@pytest.mark.parametrize("how", ["flag", "environment", "file"])
def test_an_older_name_is_taken(how: str, tmp_path: Path) -> None:
    file = tmp_path / "toy.yaml"
    file.write_text("old-key-file: k.pem\n")
    found = {
        "flag": lambda: resolved("--old-key-file", "k.pem"),
        "environment": lambda: resolved(TOY_OLD_KEY_FILE="k.pem"),
        "file": lambda: resolved("--config", str(file)),
    }[how]()
    assert found.settings.key_file == Path("k.pem")
    assert how in found.places["key_file"]


def test_what_has_no_effect_is_taken_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "toy.yaml"
    file.write_text("gops: true\nport: 81\n")
    found = resolved("--config", str(file), "--gops-port=9")
    assert found.settings == Toy(port=81)
    with caplog.at_level(logging.WARNING):
        found.log_ignored()
    assert [record.getMessage() for record in caplog.records] == [
        "setting without effect gops from file " + str(file),
        "setting without effect gops-port from flag --gops-port",
    ]


def test_neither_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        resolved("--help")
    text = capsys.readouterr().out
    assert "--key-file" in text
    assert "gops" not in text
    assert "old-key" not in text


def test_a_key_without_a_value_is_not_given(tmp_path: Path) -> None:
    file = tmp_path / "toy.yaml"
    file.write_text("port:\nkey-file:\n")
    assert resolved("--config", str(file)).settings == Toy()


def test_the_default_file_is_read_if_it_is_there(tmp_path: Path) -> None:
    file = tmp_path / "default.yaml"
    schema = replace(SCHEMA, default_file=file)
    assert resolved(schema=schema).settings.port == 80
    file.write_text("port: 81\n")
    found = resolved(schema=schema)
    assert (found.settings.port, found.places["port"]) == (81, f"file {file}")
    other = tmp_path / "other.yaml"
    other.write_text("loud: true\n")
    assert resolved("--config", str(other), schema=schema).settings == Toy(loud=True)
    file.write_text("prot: 81\n")
    with pytest.raises(SettingError, match=r"set prot from file .*default.yaml: no such setting"):
        resolved(schema=schema)


def test_what_is_written_is_read_back_as_the_same(tmp_path: Path) -> None:
    file = tmp_path / "toy.yaml"
    before = resolved("--loud", "--key-file", "null", TOY_PORT="82")
    file.write_text(written(SCHEMA, before))
    assert resolved("--config", str(file)).settings == before.settings


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(None, "no such file", id="missing"),
        pytest.param(
            b"port: 1\nkey-file: [\nloud: true",
            "not YAML at line 3, column 11: expected ',' or ']', but got '<stream end>'",
            id="broken",
        ),
        pytest.param(b"port: 2024-99-99", "not YAML: month must be in 1..12", id="no date"),
        pytest.param(b"[" * 5000, "not YAML: nested too deep", id="deep"),
        pytest.param(b"port: 1\n\xff", "not UTF-8 at byte 8", id="not text"),
        pytest.param(b"- port", "expected a mapping of settings", id="list"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_line(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    file = tmp_path / "toy.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingError) as refused:
        resolved("--config", str(file))
    assert str(refused.value) == f"configuration file {file}: {reason}"


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    file = tmp_path / "toy.yaml"
    file.touch()
    assert resolved("--config", str(file)).settings == Toy()
