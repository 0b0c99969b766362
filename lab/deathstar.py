"""`hubble-lab serve deathstar`: the HTTP server of the tutorials.

GET  /v1/                  what station this is, as JSON
POST /v1/request-landing   Ship landed
PUT  /v1/exhaust-port      the station's one weakness: answers 500, then goes on as if nothing was
"""

from __future__ import annotations

from aiohttp import web

PORT = 80
ROUTES = {
    "GET /v1/": "what station this is",
    "POST /v1/request-landing": "ask for permission to land",
    "PUT /v1/exhaust-port": "not recommended",
}
LAST_WORDS = (
    "Panic: deathstar exploded\n\n"
    "reactor: chain reaction [running]\n"
    "\texhaust port: 2 m wide, shielded against rays, not against torpedoes\n"
)


STATION_NAME = web.AppKey("STATION_NAME", str)


async def describe(request: web.Request) -> web.Response:
    """Say who answers; with two stations behind one name it matters which."""
    about = {"name": "Death Star", "hostname": request.app[STATION_NAME], "routes": ROUTES}
    return web.json_response(about)


async def land(_request: web.Request) -> web.Response:
    """Let a ship land. Who may ask is the network policy's business."""
    return web.Response(text="Ship landed\n")


async def explode(_request: web.Request) -> web.Response:
    """Answer a torpedo."""
    return web.Response(status=500, text=LAST_WORDS)


def application(station_name: str) -> web.Application:
    """Build the server of one station."""
    app = web.Application()
    app[STATION_NAME] = station_name
    app.add_routes(
        [
            web.get("/v1/", describe),
            web.post("/v1/request-landing", land),
            web.put("/v1/exhaust-port", explode),
        ]
    )
    return app


def serve(station_name: str) -> None:
    """Serve on all addresses until SIGTERM. No look-ups: a pod may have no DNS."""
    web.run_app(application(station_name), port=PORT, access_log=None, print=None)
