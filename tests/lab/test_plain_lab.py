"""A lab without a datapath: what it is made of works."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import LabError, NetworkError, RunError
from lab.namespaces import inside, netns_names
from lab.network import run_ip
from lab.runs import Run
from lab.session import Lab, open_lab, publish
from lab.status import report

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("address", ["10.244.1.10", "fd00:244:1::10"])
def test_pods_reach_each_other_across_nodes(plain_lab: Lab, address: str) -> None:
    done = plain_lab.execute("visitor", ["ping", "-c1", "-W2", address])

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_node_that_is_cut_off_comes_back(plain_lab: Lab) -> None:
    switch = plain_lab.topology.uplink_netns
    words = ["ping", "-c1", "-W1", "10.244.1.10"]

    run_ip(["link set port1 down"], netns=switch)
    cut_off = plain_lab.execute("visitor", words)
    run_ip(["link set port1 up"], netns=switch)

    assert cut_off.returncode == 1
    assert any(plain_lab.execute("visitor", words).returncode == 0 for _ in range(10))


@pytest.mark.parametrize("address", ["172.30.0.2", "fd00:172:30::2"])
def test_pods_reach_their_node(plain_lab: Lab, address: str) -> None:
    done = plain_lab.execute("visitor", ["ping", "-c1", "-W2", address])

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("family", ["--ipv4", "--ipv6"])
def test_a_service_is_found_by_name(plain_lab: Lab, family: str) -> None:
    url = "http://web.shop.svc.cluster.local/v1/request-landing"

    done = plain_lab.execute("visitor", ["curl", family, "-sS", "-m5", "-XPOST", url])

    assert done.stdout == "Ship landed\n", done.stderr


def test_dns_answers_over_tcp(plain_lab: Lab) -> None:
    script = (
        "import dns.message, dns.query\n"
        "query = dns.message.make_query('web.shop.svc.cluster.local', 'AAAA')\n"
        "print(dns.query.tcp(query, 'fd00:244:2::53', timeout=5).answer[0][0])\n"
    )

    done = plain_lab.execute("visitor", ["python", "-c", script])

    assert done.stdout == "fd00:244:1::10\n", done.stderr


def test_dns_follows_the_state_folder(plain_lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "late.yaml"
    file.write_text(
        "kind: Service\nmetadata: {name: late}\n---\nkind: EndpointSlice\n"
        "metadata: {name: late-1, labels: {kubernetes.io/service-name: late}}\n"
        "endpoints: [{addresses: [10.244.1.10]}]\n"
    )
    publish(file, plain_lab)

    done = plain_lab.execute("visitor", ["getent", "ahostsv4", "late"])

    assert done.stdout.startswith("10.244.1.10 "), done.stderr
    (plain_lab.state / "late.yaml").unlink()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("kind: [", id="no YAML"),
        pytest.param(
            "kind: Pod\nmetadata: {name: dup}\nspec: {nodeName: lab-1}\n"
            "status: {podIPs: [{ip: 10.244.1.10}]}\n",
            id="a pod with the address of another",
        ),
    ],
)
def test_a_lab_is_found_whatever_becomes_of_its_state_folder(
    plain_lab: Lab, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "odd.yaml"
    file.write_text(text)
    publish(file, plain_lab)

    found = Lab.find(plain_lab.run)

    assert found.execute("visitor", ["hostname", "-I"]).returncode == 0
    assert "default/visitor" in report(plain_lab.run)
    (plain_lab.state / "odd.yaml").unlink()


def test_a_name_that_is_not_there_is_told_at_once(plain_lab: Lab) -> None:
    done = plain_lab.execute("visitor", ["getent", "hosts", "nowhere.shop.svc.cluster.local"])

    assert (done.returncode, done.stdout) == (2, "")


def test_a_pod_sees_its_own_network_and_none_of_our_variables(
    plain_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")

    variables = plain_lab.execute("visitor", ["env"]).stdout.splitlines()
    links = plain_lab.execute("visitor", ["ip", "-brief", "link"]).stdout.splitlines()

    assert "HOSTNAME=visitor" in variables
    assert not any("proxy" in line for line in variables)
    assert {line.split("@")[0].split()[0] for line in links} == {"lo", "eth0"}


def test_our_own_files_and_namespace_stay_as_they_are(plain_lab: Lab) -> None:
    before = Path("/etc/resolv.conf").read_text()
    home = Path("/proc/thread-self/ns/net").readlink()

    plain_lab.execute("visitor", ["true"])
    with inside(plain_lab.topology.pod("visitor").netns):
        assert Path("/proc/thread-self/ns/net").readlink() != home

    assert Path("/proc/thread-self/ns/net").readlink() == home
    assert Path("/etc/resolv.conf").read_text() == before


def test_settings_of_the_machine_stay_as_they_are(plain_lab: Lab) -> None:
    forwarding = Path("/proc/sys/net/ipv6/conf/all/forwarding")
    before = forwarding.read_text()

    with inside(plain_lab.topology.node("north").netns):
        assert forwarding.read_text() == "1\n"

    assert forwarding.read_text() == before


def test_a_node_answers_to_its_path(plain_lab: Lab) -> None:
    assert plain_lab.node_netns("north").exists()
    with pytest.raises(LabError, match="no node 'east'"):
        plain_lab.node_netns("east")


def test_a_refused_command_is_named_with_its_reason(plain_lab: Lab) -> None:
    netns = plain_lab.topology.node("north").netns

    with pytest.raises(
        NetworkError, match=rf"ip link set nowhere up \(namespace {netns}\): .*nowhere"
    ):
        run_ip(["link set lo up", "link set nowhere up"], netns=netns)


def test_a_run_in_use_is_not_touched(plain_lab: Lab, two_nodes_file: Path) -> None:
    with (
        pytest.raises(RunError, match="is in use by process"),
        open_lab(two_nodes_file, run=plain_lab.run.name, plain=True),
    ):
        pass

    assert plain_lab.execute("visitor", ["true"]).returncode == 0


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        pytest.param(
            "serve, deathstar", "serve, nothing", "ended with status 2: .*invalid choice", id="ends"
        ),
        pytest.param(
            "hubble-lab, serve, deathstar",
            "no-such-program",
            "start .*-web: no-such-program: No such file",
            id="not-there",
        ),
        pytest.param(
            "name: web, namespace: shop}\nspec:",
            "name: web, namespace: shop, annotations: {leavitt.io/interface: a:b%%}}\nspec:",
            "ip link add .*",
            id="kernel-refuses",
        ),
    ],
)
def test_a_lab_that_fails_leaves_nothing(
    two_nodes_file: Path, run_id: str, old: str, new: str, problem: str
) -> None:
    run = "x" + run_id[1:]
    two_nodes_file.write_text(two_nodes_file.read_text().replace(old, new))

    with pytest.raises(LabError, match=problem), open_lab(two_nodes_file, run=run, plain=True):
        pass

    assert netns_names(f"lv{run}-") == []
    assert not Run(name=run).folder.exists()
