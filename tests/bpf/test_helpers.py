"""The programs keep to what Linux 5.15 has: helpers by name, maps by type, room in the verifier."""

import re
from itertools import chain

import pytest

import bpf

OLDEST = (5, 15)
HELPERS = {
    "csum_diff": (4, 6),
    "get_hash_recalc": (4, 8),
    "ktime_get_coarse_ns": (5, 11),
    "ktime_get_ns": (4, 1),
    "l3_csum_replace": (4, 1),
    "redirect": (4, 4),
    "redirect_peer": (5, 10),
    "skb_change_tail": (4, 9),
    "skb_change_type": (4, 8),
    "skb_load_bytes": (4, 5),
    "skb_store_bytes": (4, 1),
    "spin_lock": (5, 1),
    "spin_unlock": (5, 1),
}
"""Helper → first kernel that has it (BCC's list of features by kernel version)."""
MAPS = {
    "hash": (3, 19),
    "array": (3, 19),
    "percpu_array": (4, 6),
    "lru_hash": (4, 10),
    "lpm_trie": (4, 11),
}
BYTE_ORDER = {"htons", "htonl", "ntohs", "ntohl"}


def sources() -> str:
    files = [*bpf.SOURCES, *bpf.OBSERVE_SOURCES, *bpf.INCLUDE.glob("*.h")]
    text = "\n".join(file.read_text() for file in dict.fromkeys(files))
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)


def test_every_helper_is_known_and_old_enough() -> None:
    called = set(re.findall(r"\bbpf_(\w+)\(", sources())) - BYTE_ORDER
    assert called == set(HELPERS)
    assert max(chain(HELPERS.values(), MAPS.values())) <= OLDEST


def test_every_type_of_map_is_old_enough() -> None:
    assert set(re.findall(r'BPF_TABLE_PINNED7\("(\w+)"', sources())) <= set(MAPS)
    others = set(re.findall(r"\b(BPF_[A-Z_]+)\((?!\")", sources()))
    assert others <= {"BPF_PERF_OUTPUT", "BPF_PERCPU_ARRAY"}


@pytest.mark.parametrize("word", ["bpf_loop", "bpf_for", "kfunc", "bpf_dynptr", "arena", "kptr"])
def test_nothing_newer_is_named(word: str) -> None:
    assert word not in sources()
