from pathlib import Path

import pytest

import bpf
from observer.kernel.source import enum_names, one_text


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_own_includes_stand_in_place_once_with_their_lines(tmp_path: Path) -> None:
    write(tmp_path, "inner.h", "inner 1\n")
    write(tmp_path, "outer.h", '#include "inner.h"\nouter 2\n')
    main = write(tmp_path, "main.c", '#include <linux/ip.h>\n#include "outer.h"\nmain 3\n')
    other = write(tmp_path, "other.c", '#include "inner.h"\nother 2\n')
    assert one_text([main, other]).splitlines() == [
        '#line 1 "main.c"',
        "#include <linux/ip.h>",
        '#line 1 "outer.h"',
        '#line 1 "inner.h"',
        "inner 1",
        '#line 2 "outer.h"',
        "outer 2",
        '#line 3 "main.c"',
        "main 3",
        '#line 1 "other.c"',
        '#line 2 "other.c"',
        "other 2",
    ]


def test_the_real_sources_have_every_program_once() -> None:
    text = one_text(bpf.SOURCES)
    assert '#include "' not in text
    for program in bpf.PROGRAMS:
        assert text.count(f"\nint {program}(struct __sk_buff *skb)\n") == 1


def test_enum_values(tmp_path: Path) -> None:
    header = write(
        tmp_path,
        "x.h",
        "enum color {\n\tC_RED, /* a, b */\n\tC_BLUE = 0x10,\n\tC_GREEN,\n\tC_MAX,\n};\n",
    )
    assert enum_names(header, "color", "C_") == {"red": 0, "blue": 16, "green": 17}


def test_an_enum_that_is_not_there(tmp_path: Path) -> None:
    header = write(tmp_path, "x.h", "enum color { C_RED };\n")
    with pytest.raises(ValueError, match=r"read x\.h: no enum shape"):
        enum_names(header, "shape", "")
