"""Which addresses stand behind a service, from its EndpointSlice objects.

Used for the answers of DNS and for the pods' resolv.conf.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.fields import Address
    from lab.objects import KubeObject

SERVICE_LABEL = "kubernetes.io/service-name"


def ready_addresses(objects: Iterable[KubeObject]) -> dict[str, tuple[Address, ...]]:
    """Give the addresses of ready endpoints by service, `namespace/name`, IPv4 first.

    Every Service is there, also with none. ObjectError if a slice is malformed.
    """
    objects = tuple(objects)
    found: dict[str, set[Address]] = {one.key: set() for one in objects if one.kind == "Service"}
    for one in objects:
        if one.kind == "EndpointSlice":
            service = one["metadata"]["labels"].texts().get(SERVICE_LABEL)
            # A slice may be older than its service, or belong to none: then nobody asks for it.
            if service is not None and (key := f"{one.namespace}/{service}") in found:
                found[key].update(_ready(one))
    return {key: tuple(sorted(each, key=_family_first)) for key, each in found.items()}


def _ready(endpoint_slice: KubeObject) -> Iterable[Address]:
    for endpoint in endpoint_slice["endpoints"].each():
        # The API says of an absent value: unknown, to be taken as ready.
        if endpoint["conditions"]["ready"].flag() is not False:
            for address in endpoint["addresses"].each():
                yield address.address()


def _family_first(address: Address) -> tuple[int, int]:
    return address.version, int(address)
