import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import app
from bench.errors import NotMeasurableError, WrongAnswerError
from bench.measurement import Conditions, Measurement


def good(_: Conditions) -> Iterator[Measurement]:
    yield Measurement(line="good", what="x", unit="s", values=(1.0,))


def wrong(_: Conditions) -> Iterator[Measurement]:
    yield Measurement(line="wrong", what="before", unit="s", values=(2.0,))
    raise WrongAnswerError("read flows: 3, expected 4")


def rootless(_: Conditions) -> Iterator[Measurement]:
    raise NotMeasurableError("needs root")
    yield


@pytest.fixture(autouse=True)
def lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "LINES", {"good": good, "wrong": wrong, "rootless": rootless})


def results(path: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(path.read_text())["results"]
    return found


def test_right_answers_exit_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out.json"
    assert app.main(["good", "rootless", "--json", str(path)]) == 0
    assert [each["line"] for each in results(path)] == ["good", "rootless"]
    assert "rootless  not measured: needs root" in capsys.readouterr().out


def test_a_wrong_answer_exits_1_and_keeps_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out.json"
    assert app.main(["--json", str(path)]) == 1
    assert [each.get("what", each.get("skipped")) for each in results(path)] == [
        "x",
        "before",
        "WRONG: read flows: 3, expected 4",
        "needs root",
    ]
    assert "WRONG: read flows: 3, expected 4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing"], "no such line: nothing"),
        (["--go-hubble", "/nowhere/hubble"], "no such program: /nowhere/hubble"),
        (["--slow"], "--slow"),
    ],
)
def test_wrong_arguments_exit_2(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exited:
        app.main(arguments)
    assert exited.value.code == 2
    assert says in capsys.readouterr().err


def test_a_line_on_request_runs_only_when_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.json"
    monkeypatch.setattr(app, "LINES", {"rootless": rootless})
    monkeypatch.setattr(app, "ON_REQUEST", {"good": good})
    assert app.main(["--json", str(path)]) == 0
    assert [each["line"] for each in results(path)] == ["rootless"]
    assert app.main(["good", "--json", str(path)]) == 0
    assert [each["line"] for each in results(path)] == ["good"]
