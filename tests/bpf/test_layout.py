"""Python twins of the C structs: the compiler of the programs compares every offset."""

import os
import subprocess
import sys

import numpy as np
import pytest

import bpf
from observer.kernel import layout as maps
from observer.kernel.source import enum_names
from observer.samples import CAPTURE_BYTES, EXT_BYTES, SAMPLE_BYTES

pytestmark = pytest.mark.kernel

STRUCTS: dict[str, np.dtype[np.void]] = {
    "endpoint": maps.ENDPOINT,
    "ipcache_key": maps.IPCACHE_KEY,
    "connection_key": maps.CONNECTION_KEY,
    "connection_side": maps.CONNECTION_SIDE,
    "connection": maps.CONNECTION,
    "policy_key": maps.POLICY_KEY,
    "policy_value": maps.POLICY_VALUE,
    "fragment_key": maps.FRAGMENT_KEY,
    "fragment_value": maps.FRAGMENT_VALUE,
    "settings": maps.SETTINGS,
    "sweep_request": maps.SWEEP_REQUEST,
}
PYTHON_ONLY = ("SWEEP_HEADER_BYTES",)
CONSTANTS = [
    name for name, value in vars(maps).items() if isinstance(value, int) and name not in PYTHON_ONLY
]
CHILD = """
import os, sys
import bcc
os.environ["BCC_KERNEL_SOURCE"] = sys.argv[1]
flags = ["-idirafter", "/usr/include", "-I/usr/include/" + sys.argv[3], "-I" + sys.argv[2]]
bcc.BPF(text=sys.stdin.read(), cflags=flags)
"""


def claims() -> list[str]:
    found = []
    for name, dtype in STRUCTS.items():
        found.append(f"sizeof(struct {name}) == {dtype.itemsize}")
        assert dtype.fields is not None
        for member, (kind, offset, *_) in dtype.fields.items():
            found.append(f"offsetof(struct {name}, {member}) == {offset}")
            found.append(f"sizeof(((struct {name} *)0)->{member}) == {kind.itemsize}")
    found += [f"{name} == {getattr(maps, name)}" for name in CONSTANTS]
    found += [
        f"SAMPLE_BYTES == {SAMPLE_BYTES}",
        f"CAPTURE_BYTES == {CAPTURE_BYTES}",
        f"EXT_BYTES == {EXT_BYTES}",
    ]
    return found


def compile_claims(wanted: list[str]) -> subprocess.CompletedProcess[str]:
    text = '#include <linux/stddef.h>\n#include "events.h"\n#include "layout.h"\n'
    text += "".join(f'_Static_assert({claim}, "{claim}");\n' for claim in wanted)
    text += "int program(struct __sk_buff *skb)\n{\n\treturn 0;\n}\n"
    multiarch = f"{os.uname().machine}-linux-gnu"
    return subprocess.run(
        [sys.executable, "-c", CHILD, str(bpf.STUB), str(bpf.INCLUDE), multiarch],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_offset_of_the_maps() -> None:
    wanted = claims()
    assert len(wanted) > 100
    result = compile_claims(wanted)
    assert result.returncode == 0, result.stderr


def test_a_wrong_offset_is_found() -> None:
    result = compile_claims(["offsetof(struct endpoint, identity) == 35"])
    assert result.returncode != 0
    assert "offsetof(struct endpoint, identity) == 35" in result.stderr


def test_names_of_counters_and_reasons() -> None:
    counters = enum_names(bpf.INCLUDE / "counters.h", "counter", "COUNTER_")
    assert list(counters.values()) == list(range(len(counters)))
    assert (counters["produced_drop"], counters["full_drop"], counters["unread_drop"]) == (0, 4, 8)
    drops = enum_names(bpf.INCLUDE / "reasons.h", "drop_reason", "DROP_")
    assert drops["policy_denied"] == 133
    assert drops["policy_deny"] == 181
    assert all(130 <= value < 256 for value in drops.values())


def test_a_missing_enum_is_named() -> None:
    with pytest.raises(ValueError, match=r"read counters\.h: no enum nothing"):
        enum_names(bpf.INCLUDE / "counters.h", "nothing", "")
