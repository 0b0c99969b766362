"""Writes what a view of the node says into the observer's address book.

In: `NodeView`, `Enforcement` and the names of interfaces. Out: calls of AddressBook for what
differs from the last time. Additions and removals are two steps, since the kernel's maps change
between them: what the kernel may report is known before, and until after.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from observer.entities import address_text
from server.mirror import Mirror, one_by_one

if TYPE_CHECKING:
    from collections.abc import Mapping

    from observer.addresses import AddressBook
    from observer.entities import Endpoint, PolicyRef, Service
    from server.enforcement import Enforcement
    from server.identities import LabelSet
    from server.pace import Pace
    from server.problems import Problems
    from server.view import NodeView, ServiceAddress


class BookWriter:
    """Writes what a view says into the address book."""

    def __init__(self, book: AddressBook, problems: Problems, *, linger_s: float) -> None:
        """Take the book, and how long samples of what is gone may still be on their way."""
        self._linger_s = linger_s
        self._interfaces: Mirror[int, str] = Mirror(
            "interface",
            put=one_by_one(book.set_interface),
            drop=book.remove_interface,
            problems=problems,
        )
        self._identities = _label_sets(book, problems)
        self._networks = _label_sets(book, problems)
        self._endpoints: Mirror[bytes, Endpoint] = Mirror(
            "address",
            put=one_by_one(book.set_endpoint),
            drop=book.remove,
            problems=problems,
            shown=address_text,
        )
        self._services: Mirror[ServiceAddress, Service] = Mirror(
            "service",
            put=one_by_one(lambda at, service: book.set_service(*at, service)),
            drop=lambda at: book.remove_service(*at),
            problems=problems,
        )
        self._rules: Mirror[int, tuple[PolicyRef, ...]] = Mirror(
            "rule", put=one_by_one(book.set_rule), drop=book.remove_rule, problems=problems
        )

    async def put(
        self, view: NodeView, enforcement: Enforcement, names: Mapping[int, str], pace: Pace
    ) -> None:
        """Write what is new, before the kernel can report it."""
        await self._interfaces.put_all(names, pace)
        await self._identities.put_all(view.identities, pace)
        await self._networks.put_all(enforcement.identities, pace)
        await self._endpoints.put_all(view.endpoints, pace)
        await self._services.put_all(view.services, pace)
        await self._rules.put_all(enforcement.rules, pace)

    async def drop(
        self, view: NodeView, enforcement: Enforcement, names: Mapping[int, str], pace: Pace
    ) -> None:
        """Forget what is gone, some time after the kernel has."""
        is_late = (
            await self._rules.excess(enforcement.rules, pace)
            or await self._services.excess(view.services, pace)
            or await self._endpoints.excess(view.endpoints, pace)
            or await self._identities.excess(view.identities, pace)
            or await self._networks.excess(enforcement.identities, pace)
            or await self._interfaces.excess(names, pace)
        )
        if is_late and self._linger_s:
            await asyncio.sleep(self._linger_s)
        await self._rules.drop_rest(enforcement.rules, pace)
        await self._services.drop_rest(view.services, pace)
        await self._endpoints.drop_rest(view.endpoints, pace)
        await self._identities.drop_rest(view.identities, pace)
        await self._networks.drop_rest(enforcement.identities, pace)
        await self._interfaces.drop_rest(names, pace)


def _label_sets(book: AddressBook, problems: Problems) -> Mirror[int, LabelSet]:
    """Mirror the label sets of identities; each source of them has a mirror of its own."""
    return Mirror(
        "identity",
        put=one_by_one(book.set_identity),
        drop=book.remove_identity,
        problems=problems,
    )
