"""Settings that contradict each other, found before anything is made, opened or bound.

Each setting alone has been read already (api.process.configure); here is what they mean together.
Looks at the file system, changes nothing.
"""

from collections.abc import Iterator
from typing import Final

from server.errors import ServerError
from server.observed import observes
from server.settings import Settings

_AS_RECORDED: Final = 1.0
"""The default of --speed."""


def refuse_contradictions(settings: Settings) -> None:
    """Return if the settings make sense together; ServerError says what does not."""
    for contradiction in _contradictions(settings):
        raise ServerError(contradiction)


def _contradictions(settings: Settings) -> Iterator[str]:
    if settings.replay is not None:
        live = ", ".join(_of_live_nodes(settings))
        if live:
            yield f"replay: cluster state and samples come from the recording; leave out {live}"
        return
    if observes(settings) and not settings.interface:
        yield "observe: which interfaces? --interface NAME, such as 'veth*'"
    if settings.interface and not observes(settings):
        yield "--interface is for --mode observe"
    if settings.speed != _AS_RECORDED:
        yield "--speed is for --replay"
    if settings.record is not None and settings.record.exists():
        yield f"create recording: File exists: {settings.record}"


def _of_live_nodes(settings: Settings) -> Iterator[str]:
    """Name what was given that only a node with packets of its own can have."""
    if settings.state is not None:
        yield "--state"
    if settings.record is not None:
        yield "--record"
    if settings.netns is not None:
        yield "--netns"
    if observes(settings):
        yield "--mode observe"
    if settings.interface:
        yield "--interface"
