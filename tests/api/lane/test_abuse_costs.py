"""What hostile clients cost the others: delay of an honest client's calls, and memory.

Server, attacker and honest client are processes of their own. Delay is judged by the same client
in the same run, before and during the attack, with a wide margin; memory by the server's resident
size. With two processors the attacker costs the honest client its share of them too.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.wrappers_pb2 import BytesValue

from api.lane.client import Channel
from tests.api.lane.attacker import FLOODS, HOLDS
from tests.api.lane.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
HERE = Path(__file__).parent
CALLS = 60
ATTACK_S = 1.0
MOST_TIMES_SLOWER = 10
MOST_GROWTH_BYTES = 24 << 20


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Run the server; gives its plain and its TLS address."""
    pair = Authority(tmp_path_factory.mktemp("tls")).sign("server", "lane")
    command = [sys.executable, str(HERE / "abuse_server.py"), *map(str, pair)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield json.loads(server.stdout.readline())
        server.kill()


@pytest.mark.parametrize("name", [*FLOODS, *HOLDS, "hang up"])
def test_others_do_not_pay(addresses: list[str], name: str) -> None:
    asyncio.run(judge(addresses[0], addresses[0], name))


@pytest.mark.parametrize("name", ["garbage", "silence", "hang up"])
def test_others_do_not_pay_for_broken_handshakes(addresses: list[str], name: str) -> None:
    asyncio.run(judge(addresses[0], addresses[1], name))


async def judge(address: str, attacked: str, name: str) -> None:
    host, _, port = attacked.rpartition(":")
    command = [str(HERE / "attacker.py"), name, host, port, str(ATTACK_S)]
    channel = Channel(address)
    await delays(channel)
    attacker = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert attacker.stdout is not None
    await attacker.stdout.readline()
    before = await tell(channel)
    quiet = await delays(channel)
    ending = asyncio.get_running_loop().create_task(attacker.communicate(b"go\n"))
    under: list[float] = []
    most_bytes = 0
    while not ending.done():
        under += await delays(channel)
        most_bytes = max(most_bytes, (await tell(channel))["resident_bytes"])
    out, _ = await ending
    await back_to_normal(channel)
    await channel.close()
    slower = statistics.median(under) / statistics.median(quiet)
    growth = most_bytes - before["resident_bytes"]
    print(
        f"{name}: {int(out)} connections, {slower:.1f} times slower, "
        f"worst {max(under) * 1e3:.0f} ms, {growth >> 10} KiB"
    )
    assert slower < MOST_TIMES_SLOWER
    assert growth < MOST_GROWTH_BYTES


async def delays(channel: Channel) -> list[float]:
    """Return how long some calls took one after the other, seconds."""
    found = []
    for _ in range(CALLS):
        begin = time.perf_counter()
        await channel.unary("/t.T/Echo", BytesValue(value=b"x"), BytesValue, timeout_s=20)
        found.append(time.perf_counter() - begin)
    return found


async def tell(channel: Channel) -> dict[str, Any]:
    async with channel.server_stream("/t.T/Tell", b"", timeout_s=20) as call:
        # To the end: a call that is left early is one of the resets that are counted.
        (data,) = [message async for batch in call.batches() for message in batch]
    told: dict[str, Any] = json.loads(data)
    return told


async def back_to_normal(channel: Channel) -> None:
    """Wait until only we are connected, with one call: this one."""
    async with asyncio.timeout(30):
        told = await tell(channel)
        while told["connections"] > 1 or told["calls"] > 1:
            told = await tell(channel)
