"""`hubble watch peers`: the nodes of a cluster as they come and go, as a node tells it."""

from collections.abc import Sequence

from api.proto.peer.peer_pb2 import ChangeNotification, ChangeNotificationType, NotifyRequest
from cli.connection import ServerOptions
from cli.flags.arguments import Arguments
from cli.printers.color import palette
from cli.stream import Question, ask
from cli.surroundings import Surroundings

_TYPE_NAMES = {value: name for name, value in ChangeNotificationType.items()}
_TYPE_WIDTH = 12


def run(arguments: Arguments, surroundings: Surroundings) -> None:
    """Print changes of peers until the server ends the answer; raises CliError."""
    arguments.read()
    question = Question(
        server=ServerOptions.from_arguments(arguments),
        path="/peer.Peer/Notify",
        request=NotifyRequest(),
        printer=_PeerLines(),
        debug=arguments.on("debug"),
        follow=True,
    )
    ask(question, surroundings)


class _PeerLines:
    """Prints a change a line."""

    def __init__(self) -> None:
        self._neutralise = palette(colored=False).neutralise

    def batch(self, messages: Sequence[bytes]) -> str:
        """Write the lines of a batch; raises DecodeError."""
        return self._neutralise("".join(map(_line, messages)))

    def finish(self) -> str:
        """Nothing is held back."""
        return ""


def _line(message: bytes) -> str:
    change = ChangeNotification.FromString(message)
    kind = _TYPE_NAMES.get(change.type, str(change.type))
    tls = f" (TLS.ServerName: {change.tls.server_name})" if change.HasField("tls") else ""
    return f"{kind:<{_TYPE_WIDTH}} {change.address} {change.name}{tls}\n"
