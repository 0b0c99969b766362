"""Generates the Python modules beside the .proto files, or checks that they are current.

In: the contract files listed in `CONTRACTS`. Out: `*_pb2.py` with its `.pyi`, and for files with a
service `*_pb2_grpc.py`, in the folder of the .proto file. `make generate` writes them,
`make check` compares them with a fresh copy in a temporary folder.

protoc names a Python module after the proto's name in the descriptor pool, and those names are
Hubble's (`flow/flow.proto`), because reflection shows them. Our import paths are the paths on
disk (`api.proto.flow.flow_pb2`), so imports are rewritten after protoc has run.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

PROTO_DIR = Path(__file__).resolve().parent
PACKAGE = "api.proto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One .proto file: its name in the descriptor pool, its path on disk, what it defines."""

    name: str
    """Name in the descriptor pool, as other contracts import it and reflection returns it."""
    path: str
    """Path below `api/proto`."""
    has_service: bool = False
    """Whether there are stubs to generate."""

    @property
    def stem(self) -> str:
        """The name without its suffix: `flow/flow`."""
        return self.name.removesuffix(".proto")

    @property
    def protoc_module(self) -> str:
        """The module protoc thinks it writes: `flow.flow_pb2`."""
        return self.stem.replace("/", ".") + "_pb2"

    @property
    def module(self) -> str:
        """The module it really is: `api.proto.flow.flow_pb2`."""
        return f"{PACKAGE}.{self.path.removesuffix('.proto').replace('/', '.')}_pb2"

    @property
    def suffixes(self) -> tuple[str, ...]:
        """What protoc appends to the stem, for each file that it writes."""
        return ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py")[: 3 if self.has_service else 2]


CONTRACTS = (
    Contract(name="flow/flow.proto", path="flow/flow.proto"),
    Contract(name="relay/relay.proto", path="relay/relay.proto"),
    Contract(name="observer/observer.proto", path="observer/observer.proto", has_service=True),
    Contract(name="peer/peer.proto", path="peer/peer.proto", has_service=True),
    Contract(name="leavitt/flow_details.proto", path="leavitt/flow_details.proto"),
    Contract(name="leavitt/node.proto", path="leavitt/node.proto", has_service=True),
    Contract(name="leavitt/policy.proto", path="leavitt/policy.proto", has_service=True),
    Contract(name="leavitt/relay.proto", path="leavitt/relay.proto", has_service=True),
    Contract(name="grpc/health/v1/health.proto", path="health/health.proto", has_service=True),
    Contract(
        name="grpc/reflection/v1/reflection.proto",
        path="reflection/v1/reflection.proto",
        has_service=True,
    ),
    Contract(
        name="grpc/reflection/v1alpha/reflection.proto",
        path="reflection/v1alpha/reflection.proto",
        has_service=True,
    ),
)


class GenerateError(Exception):
    """protoc refused the contract; it has said why on stderr."""


def generate(*, contracts: Iterable[Contract] = CONTRACTS) -> dict[Path, str]:
    """Return the text of each generated module by its path, without touching the tree.

    Raises:
        GenerateError: protoc failed.
    """
    contracts = tuple(contracts)
    with tempfile.TemporaryDirectory(prefix="leavitt-generate-") as out:
        run_protoc(contracts, out_dir=Path(out))
        return {
            PROTO_DIR / (contract.path.removesuffix(".proto") + suffix): rewrite_imports(
                (Path(out) / (contract.stem + suffix)).read_text(encoding="utf-8"), contracts
            )
            for contract in contracts
            for suffix in contract.suffixes
        }


def run_protoc(contracts: Iterable[Contract], *, out_dir: Path) -> None:
    """Run protoc over the contracts; its modules land in `out_dir` below their pool names."""
    contracts = tuple(contracts)
    mappings = [f"-I{contract.name}={PROTO_DIR / contract.path}" for contract in contracts]
    # The parts of the standard library of protobuf (timestamp.proto and so on) come with protoc.
    with resources.as_file(resources.files("grpc_tools") / "_proto") as google_dir:
        base = ["protoc", *mappings, f"-I{google_dir}"]
        messages = [f"--python_out={out_dir}", f"--pyi_out={out_dir}"]
        runs = [
            [*base, *messages, *(contract.name for contract in contracts)],
            [
                *base,
                f"--grpc_python_out={out_dir}",
                *(contract.name for contract in contracts if contract.has_service),
            ],
        ]
        for arguments in runs:
            if protoc.main(arguments) != 0:
                raise GenerateError(f"generate from {PROTO_DIR}: protoc failed")


def rewrite_imports(text: str, contracts: Iterable[Contract]) -> str:
    """Replace the module paths that protoc assumes by those on disk."""
    for contract in contracts:
        old_parent, _, name = contract.protoc_module.rpartition(".")
        new_parent, _, new_name = contract.module.rpartition(".")
        # from flow import flow_pb2 as ...; the name of a package's only module stays as it is.
        text = re.sub(
            rf"^from {re.escape(old_parent)} import {name}\b",
            f"from {new_parent} import {new_name}",
            text,
            flags=re.MULTILINE,
        )
        # from flow.flow_pb2 import ... (public imports)
        text = re.sub(
            rf"^from {re.escape(contract.protoc_module)} import ",
            f"from {contract.module} import ",
            text,
            flags=re.MULTILINE,
        )
        # BuildTopDescriptorsAndMessages(DESCRIPTOR, 'flow.flow_pb2', ...) sets __module__.
        text = text.replace(f"'{contract.protoc_module}'", f"'{contract.module}'")
    return text


def stale(generated: Mapping[Path, str]) -> list[Path]:
    """Return the modules that are missing or differ from what would be generated."""
    return [
        path
        for path, text in generated.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]


def main(arguments: list[str] | None = None) -> int:
    """Write the modules, or with --check compare them. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="generate", description="Generate api/proto/*/*_pb2*.")
    parser.add_argument(
        "--check", action="store_true", help="compare only; exit 1 if a module is not current"
    )
    check = parser.parse_args(arguments).check
    generated = generate()
    outdated = stale(generated)
    for path in outdated:
        shown = path.relative_to(PROTO_DIR.parent.parent)
        if check:
            print(f"{shown} is not current: run `make generate`", file=sys.stderr)
        else:
            path.write_text(generated[path], encoding="utf-8")
            print(f"wrote {shown}")
    return 1 if check and outdated else 0


if __name__ == "__main__":
    sys.exit(main())
