"""The command lines of servers and relay: the programs take them, and mean what the lab means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from api.process.configure import resolve_flags
from api.process.flags import setting_parser
from lab.certificates import TlsFiles
from lab.objects import read_objects
from lab.runs import Run
from lab.servers import relay_command, server_command, server_socket
from lab.session import Lab, scenario
from lab.topology import build_topology
from relay.settings import SCHEMA, Settings
from server.configure import resolve
from server.listening import server_tls

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr("lab.runs.RUNS_FOLDER", tmp_path)
    run = Run(name="x")
    run.state.mkdir(parents=True)
    return Lab(run, build_topology(read_objects(scenario("galaxy")), run.name))


def relay_settings(command: list[str]) -> Settings:
    parser = setting_parser(SCHEMA, "hubble-relay", usage="", description="")
    return resolve_flags(SCHEMA, vars(parser.parse_args(command[2:])), {}).settings


def test_each_server_has_its_own_name_and_socket(lab: Lab, tmp_path: Path) -> None:
    found = [
        resolve(server_command(lab, node, tmp_path, None)[1:], {}) for node in lab.topology.nodes
    ]

    assert [each.node_name for each in found] == ["lab-1", "lab-2", "lab-3"]
    assert len({each.socket_path for each in found}) == 3
    assert {each.listen_address for each in found} == {":4244"}
    assert {each.state for each in found} == {lab.state}
    assert {each.netns for each in found} == {None}  # they are inside
    assert {server_tls(each) for each in found} == {None}


def test_the_relay_asks_the_server_beside_it(lab: Lab) -> None:
    node = lab.topology.nodes[0]

    found = relay_settings(relay_command(lab, node, None))

    assert found.peer_service == f"unix://{server_socket(lab, node)}"
    assert (found.disable_client_tls, found.disable_server_tls) == (True, True)


def test_with_tls_both_ask_for_certificates(lab: Lab, tmp_path: Path) -> None:
    node, files = lab.topology.nodes[0], TlsFiles(folder=tmp_path)

    server = resolve(server_command(lab, node, tmp_path, files)[1:], {})
    relay = relay_settings(relay_command(lab, node, files))

    assert server.tls_client_ca_files == relay.tls_relay_client_ca_files == (files.authority,)
    assert (server.tls_cert_file, server.tls_key_file) == files.server
    own = (relay.tls_relay_server_cert_file, relay.tls_relay_server_key_file)
    assert own == files.relay_server
    shown = (relay.tls_hubble_client_cert_file, relay.tls_hubble_client_key_file)
    assert shown == files.relay_client
    assert relay.tls_hubble_server_ca_files == (files.authority,)
    assert (relay.disable_client_tls, relay.disable_server_tls) == (False, False)
