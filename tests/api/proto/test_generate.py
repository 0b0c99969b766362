"""The generator: rewritten imports, and the check that committed modules are current."""

from pathlib import Path

import pytest

from api.proto.generate import (
    CONTRACTS,
    PROTO_DIR,
    Contract,
    GenerateError,
    generate,
    main,
    rewrite_imports,
    stale,
)


@pytest.mark.parametrize(
    ("line", "rewritten"),
    [
        pytest.param(
            "from flow import flow_pb2 as flow_dot_flow__pb2",
            "from api.proto.flow import flow_pb2 as flow_dot_flow__pb2",
            id="plain",
        ),
        pytest.param(
            "from flow.flow_pb2 import *", "from api.proto.flow.flow_pb2 import *", id="public"
        ),
        pytest.param(
            "from grpc.health.v1 import health_pb2 as grpc_dot_health",
            "from api.proto.health import health_pb2 as grpc_dot_health",
            id="other folder",
        ),
        pytest.param(
            "_builder.BuildTopDescriptorsAndMessages(DESCRIPTOR, 'relay.relay_pb2', _globals)",
            "_builder.BuildTopDescriptorsAndMessages("
            "DESCRIPTOR, 'api.proto.relay.relay_pb2', _globals)",
            id="module name",
        ),
        pytest.param(
            "from google.protobuf import any_pb2",
            "from google.protobuf import any_pb2",
            id="google",
        ),
        pytest.param("    'flow/flow.proto'", "    'flow/flow.proto'", id="pool name stays"),
    ],
)
def test_rewrite_imports(line: str, rewritten: str) -> None:
    assert rewrite_imports(line, CONTRACTS) == rewritten


def test_committed_modules_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0
    assert capsys.readouterr().err == ""


def test_every_proto_file_is_a_contract() -> None:
    on_disk = {str(path.relative_to(PROTO_DIR)) for path in PROTO_DIR.rglob("*.proto")}
    assert on_disk == {contract.path for contract in CONTRACTS}


def test_every_generated_module_is_expected() -> None:
    # What a removed contract left behind would still be imported.
    assert set(PROTO_DIR.rglob("*_pb2*.py*")) - set(PROTO_DIR.rglob("*.pyc")) == set(generate())


def test_stale_names_missing_and_changed_modules(tmp_path: Path) -> None:
    current, changed, missing = (tmp_path / name for name in ("current", "changed", "missing"))
    current.write_text("same")
    changed.write_text("old")
    assert stale({current: "same", changed: "new", missing: "new"}) == [changed, missing]


def test_check_names_what_is_not_current(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = PROTO_DIR / "relay" / "relay_pb2.py"
    monkeypatch.setattr("api.proto.generate.generate", lambda: {module: "other"})
    before = module.read_text()
    assert main(["--check"]) == 1
    assert "api/proto/relay/relay_pb2.py is not current" in capsys.readouterr().err
    assert module.read_text() == before


def test_protoc_refuses() -> None:
    with pytest.raises(GenerateError, match="protoc failed"):
        generate(contracts=[Contract(name="no/no.proto", path="no/no.proto")])
