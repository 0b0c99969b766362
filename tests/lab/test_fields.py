from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

import pytest

from lab.errors import ObjectError
from lab.fields import Field

if TYPE_CHECKING:
    from collections.abc import Callable


def field(value: object) -> Field:
    return Field(owner="a.yaml: Pod default/x", path="spec", value=value)


def test_steps_into_mappings_and_lists_remembering_the_way() -> None:
    root = Field(owner="a.yaml", path="", value={"status": {"podIPs": [{"ip": "10.0.0.1"}]}})

    entry = root["status"]["podIPs"].each()[0]["ip"]

    assert entry.path == "status.podIPs[0].ip"
    assert entry.address() == IPv4Address("10.0.0.1")


def test_absent_fields_are_empty_until_asked_for() -> None:
    absent = field({})["status"]["podIPs"]

    assert absent.each() == []
    assert absent["deeper"].texts() == {}
    assert absent.text(default="none") == "none"
    assert absent.flag() is None
    with pytest.raises(
        ObjectError, match=r"^a\.yaml: Pod default/x: spec\.status\.podIPs: missing"
    ):
        absent.text()


def test_reads_addresses_of_both_families() -> None:
    assert field("fd00::1").address() == IPv6Address("fd00::1")


@pytest.mark.parametrize(
    ("value", "read", "problem"),
    [
        pytest.param("10.244.1", Field.address, "want an IP address, got '10.244.1'", id="address"),
        pytest.param(10, Field.address, "want a non-empty string, got 10", id="number-as-address"),
        pytest.param("", Field.text, "want a non-empty string, got ''", id="empty-text"),
        pytest.param("yes", Field.flag, "want true or false, got 'yes'", id="text-as-flag"),
        pytest.param(0, Field.port, "want a port from 1 to 65535, got 0", id="port-0"),
        pytest.param(65536, Field.port, "want a port from 1 to 65535, got 65536", id="port-65536"),
        pytest.param(True, Field.port, "want a port from 1 to 65535, got True", id="port-yes"),
        pytest.param({"a": 1}, Field.each, "want a list, got {'a': 1}", id="mapping-as-list"),
        pytest.param(["a"], Field.texts, "want a mapping, got ['a']", id="list-as-mapping"),
        pytest.param("a", lambda one: one["b"], "want a mapping, got 'a'", id="step-into-text"),
    ],
)
def test_names_file_object_field_and_value(
    value: object, read: Callable[[Field], object], problem: str
) -> None:
    with pytest.raises(ObjectError) as caught:
        read(field(value))

    assert str(caught.value) == f"a.yaml: Pod default/x: spec: {problem}"
