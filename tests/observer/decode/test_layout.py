import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bpf import INCLUDE
from observer.decode import layout
from observer.samples import CAPTURE_BYTES, EXT_BYTES, SAMPLE_BYTES
from observer.table.columns import EventKind

HEADER = INCLUDE / "events.h"

STRUCTS = {
    "event_common": layout.COMMON,
    "event_drop": layout.DROP,
    "event_trace": layout.TRACE,
    "event_verdict": layout.VERDICT,
    "event_debug": layout.DEBUG,
    "event_trace_sock": layout.TRACE_SOCK,
    "event_ext": layout.EXT,
}
CONSTANTS = {
    "CAPTURE_BYTES": CAPTURE_BYTES,
    "EXT_BYTES": EXT_BYTES,
    "SAMPLE_BYTES": SAMPLE_BYTES,
    "EVENT_DROP": EventKind.DROP,
    "EVENT_DEBUG": EventKind.DEBUG,
    "EVENT_CAPTURE": EventKind.CAPTURE,
    "EVENT_TRACE": EventKind.TRACE,
    "EVENT_POLICY_VERDICT": EventKind.POLICY_VERDICT,
    "EVENT_TRACE_SOCK": EventKind.TRACE_SOCK,
    "DROP_VERSION": len(layout.HEADER_LENGTHS[EventKind.DROP]) - 1,
    "TRACE_VERSION": len(layout.HEADER_LENGTHS[EventKind.TRACE]) - 1,
    "VERDICT_VERSION": len(layout.HEADER_LENGTHS[EventKind.POLICY_VERDICT]) - 1,
    "EXT_VERSION": len(layout.EXT_LENGTHS) - 1,
    "EVENT_FLAG_IPV6": layout.FLAG_IPV6,
    "EVENT_FLAG_L3_DEVICE": layout.FLAG_L3_DEVICE,
    "EVENT_FLAG_VXLAN": layout.FLAG_VXLAN,
    "EVENT_FLAG_GENEVE": layout.FLAG_GENEVE,
    "VERDICT_DIR_MASK": layout.VERDICT_DIR_MASK,
    "VERDICT_FLAG_IPV6": layout.VERDICT_FLAG_IPV6,
    "VERDICT_MATCH_SHIFT": layout.VERDICT_MATCH_SHIFT,
    "VERDICT_MATCH_MASK": layout.VERDICT_MATCH_MASK,
    "VERDICT_FLAG_AUDIT": layout.VERDICT_FLAG_AUDIT,
    "VERDICT_FLAG_L3_DEVICE": layout.VERDICT_FLAG_L3_DEVICE,
    "EXT_FLAG_VLAN": layout.EXT_FLAG_VLAN,
    "EXT_FLAG_SWEPT": layout.EXT_FLAG_SWEPT,
    "EXT_FLAG_OBSERVED": layout.EXT_FLAG_OBSERVED,
}


def test_the_header_defines_no_field_that_we_do_not_mirror() -> None:
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
    found = {}
    for name, body in re.findall(r"struct (\w+) \{(.*?)\}", text, flags=re.DOTALL):
        found[name] = re.findall(r"(\w+)(?:\[\d+\])?;", body)
    assert found == {name: list(dtype.names or ()) for name, dtype in STRUCTS.items()}


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler to ask for the offsets")
def test_offsets_and_constants_are_those_of_the_header(tmp_path: Path) -> None:
    lines = [
        "#include <stdio.h>",
        "#include <stddef.h>",
        f'#include "{HEADER}"',
        "int main(void) {",
    ]
    expected = []
    for name, dtype in STRUCTS.items():
        lines.append(f'printf("{name} %zu\\n", sizeof(struct {name}));')
        expected.append(f"{name} {dtype.itemsize}")
        for field, (part, offset) in _fields(dtype).items():
            at = f"offsetof(struct {name}, {field}), sizeof(((struct {name} *)0)->{field})"
            lines.append(f'printf("{name}.{field} %zu %zu\\n", {at});')
            expected.append(f"{name}.{field} {offset} {part}")
    for name, value in CONSTANTS.items():
        lines.append(f'printf("{name} %d\\n", (int)({name}));')
        expected.append(f"{name} {int(value)}")
    source, program = tmp_path / "offsets.c", tmp_path / "offsets"
    source.write_text("\n".join([*lines, "return 0; }"]))
    subprocess.run(["cc", "-o", program, source], check=True, capture_output=True)
    output = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    assert output.splitlines() == expected


def _fields(dtype: np.dtype[np.void]) -> dict[str, tuple[int, int]]:
    assert dtype.fields is not None
    return {name: (entry[0].itemsize, entry[1]) for name, entry in dtype.fields.items()}
