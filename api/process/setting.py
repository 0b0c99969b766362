"""Settings of a process as the fields of one frozen dataclass, and what is known of each.

    node_name: Annotated[str, Setting(parse.name, "name of this node")] = hostname()

The field's name gives the flag (`--node-name`), the environment variable (`HUBBLE_SERVER_` and
`NODE_NAME`) and the key in the configuration file (`node-name`). Its default is the setting's
default, `None` and `()` mean: not given. `flags` makes the parser, `configure` decides who wins.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Generic, TypeVar, get_type_hints

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Setting:
    """How a setting is read and explained."""

    parse: Callable[[str], object]
    """Its text → its value; ValueError says what was expected."""
    meaning: str
    """The line of `--help`."""
    show: Callable[[Any], str] = str
    """Its value → a text that is parsed to the same value; never called for what is not given."""
    is_list: bool = False
    """Its text is a list with commas, and its flag may be repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema(Generic[S]):
    """All settings of one program."""

    settings: type[S]
    """A dataclass whose fields are `Annotated` with a Setting and have a default."""
    program: str
    """Such as `hubble-server`."""
    environment: str
    """How its variables begin, such as `HUBBLE_SERVER_`."""
    groups: Mapping[str, tuple[str, ...]]
    """Title → settings, as `--help` shows them."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Older name of a setting → its name; both as fields are spelled."""
    ignored: frozenset[str] = frozenset()
    """What another implementation has and we need not; taken without effect, and logged."""
    default_file: Path | None = None
    """The configuration file that is read, if it is there and no other is named."""

    @property
    def known(self) -> dict[str, Setting]:
        """Each setting by the name of its field."""
        hints = get_type_hints(self.settings, include_extras=True)
        return {key: hint.__metadata__[0] for key, hint in hints.items()}

    @property
    def defaults(self) -> dict[str, Any]:
        """The default of each setting."""
        # the type says nothing of dataclasses: a Protocol for them cannot be a TypeVar's bound
        return {one.name: one.default for one in fields(self.settings)}  # type: ignore[arg-type]


def dashed(key: str) -> str:
    """Name a setting as users write it."""
    return key.replace("_", "-")
