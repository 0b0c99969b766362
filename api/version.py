"""What this program calls itself on the wire and on the screen."""

from typing import Final

VERSION: Final = "0.1.0"
"""Of Leavitt; pyproject.toml says the same."""

HUBBLE_API: Final = "1.19.4"
"""The version of Hubble whose API the protos describe. Clients compare theirs with it."""

WIRE_VERSION: Final = f"{HUBBLE_API}+leavitt-{VERSION}"
"""A SemVer without leading v, as the version headers and the emitter of a flow carry it."""

STATUS_VERSION: Final = f"leavitt v{VERSION} (Hubble API v{HUBBLE_API})"
"""For people: ServerStatus, `hubble version`."""
