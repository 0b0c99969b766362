"""HTTP of a node: `/metrics` for Prometheus and `/healthz` for probes.

It shares the loop with everything else, so a scrape is written in pieces, and the loop is handed
over between them: how many series there are makes a scrape longer, but delays nobody.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from api.lane.address import TcpAddress, parse_address
from server.errors import ServerError
from server.metrics.registry import Metrics

logger = logging.getLogger(__name__)

_PLAIN: Final = "text/plain; version=0.0.4; charset=utf-8"
_OPEN: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_SHUTDOWN_S: Final = 1.0


@asynccontextmanager
async def serve_metrics(address: str, metrics: Metrics, *, is_open: bool) -> AsyncIterator[str]:
    """Serve while inside; gives the address with the port that was bound.

    Args:
        address: such as :9965.
        metrics: what is shown.
        is_open: answer in OpenMetrics who asks for it.

    Raises:
        ServerError: the address cannot be had.
    """
    where = parse_address(address)
    if not isinstance(where, TcpAddress):
        raise ServerError(f"serve metrics: expected host:port: {address!r}")
    runner = web.AppRunner(
        _application(metrics, is_open), access_log=None, shutdown_timeout=_SHUTDOWN_S
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, where.host or None, where.port)
        try:
            await site.start()
        except OSError as error:
            raise ServerError(f"serve metrics at {address}: {error}") from error
        bound = f"{where.host}:{runner.addresses[0][1]}"
        logger.info("serving metrics address=%s", bound)
        yield bound
    finally:
        await runner.cleanup()


def _application(metrics: Metrics, is_open: bool) -> web.Application:
    async def scrape(request: web.Request) -> web.StreamResponse:
        wants_open = is_open and "application/openmetrics-text" in request.headers.get("Accept", "")
        response = web.StreamResponse(headers={"Content-Type": _OPEN if wants_open else _PLAIN})
        await response.prepare(request)
        for piece in metrics.exposition(is_open=wants_open):
            if piece:
                await response.write(piece.encode())
            await asyncio.sleep(0)
        await response.write_eof()
        return response

    async def healthy(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    application = web.Application()
    application.router.add_get("/metrics", scrape)
    application.router.add_get("/healthz", healthy)
    return application
