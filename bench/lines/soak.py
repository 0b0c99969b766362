"""Soak: a server under load that is killed, stopped, given new certificates and attacked.

    emitter ──► real rings ──► server, life after life ──► readers (all rows; losses alone)
                                 ▲ mTLS                    honest client, hostile clients

The load is what the machine takes, and every fourth time far more. After each round it rests until
the accounts of this life add up to the last event, and the certificate is replaced. Wrong is: a
count that does not add up, memory, descriptors or pins that grow, a certificate that is not taken
up, an honest client that was refused while no restart went on. Needs root and openssl; not among
the lines that run by default.
"""

import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Final

from bench.errors import WrongAnswerError
from bench.live import lone_node
from bench.measurement import Conditions, Measurement
from bench.soaking.attackers import attackers
from bench.soaking.certificates import Certificates
from bench.soaking.course import Soak
from bench.soaking.honest import honest_client
from bench.soaking.lives import Place
from bench.soaking.load import Load, Round

_LINE: Final = "soak"
_LONG_SHARE: Final = 0.4
_SHORT_SHARE: Final = 0.1
_SHORTEST_S: Final = 10.0


def measure(conditions: Conditions) -> Iterator[Measurement]:
    """Soak for the minutes asked for; figures only if all was right."""
    folder = conditions.folder / _LINE
    folder.mkdir()
    with ExitStack() as stack:
        certificates = Certificates(folder / "tls")
        name, arguments = stack.enter_context(lone_node(folder))
        place = Place.under(folder, certificates)
        soak = Soak(
            name=name,
            arguments=arguments,
            place=place,
            folder=folder,
            load=Load(conditions.soak_events_per_s),
            honest=stack.enter_context(honest_client(place, folder)),
            emitter=stack.enter_context(ExitStack()),
            pool=stack.enter_context(ThreadPoolExecutor(1)),
        )
        attacks = stack.enter_context(attackers(place))
        for number, seconds in enumerate(lives(conditions.soak_minutes * 60)):
            soak.live(seconds, signal.SIGTERM if number % 2 else signal.SIGKILL)
        soak.finish()
        yield from _measurements(soak, attacks())


def lives(seconds: float) -> list[float]:
    """Split the time: a long life first, then short ones."""
    split = [max(_SHORTEST_S, _LONG_SHARE * seconds)]
    short = max(_SHORTEST_S, _SHORT_SHARE * seconds)
    while sum(split) + short <= seconds + 1e-6:
        split.append(short)
    return split


def _rounds(what: str, rounds: Sequence[Round], note: str) -> Iterator[Measurement]:
    """How much was offered, and what part of it was lost: all of it is counted."""
    yield Measurement(
        line=_LINE,
        what=what,
        unit="k/s",
        values=tuple(each.per_second / 1e3 for each in rounds),
        note=note,
    )
    yield Measurement(
        line=_LINE,
        what=f"{what}: events lost and counted",
        unit="%",
        values=tuple(100 * each.lost_share for each in rounds),
        note="by a full ring, no reader, or decoding; one in 1,024 cannot be decoded",
    )


def _measurements(soak: Soak, attacks: dict[str, int]) -> Iterator[Measurement]:
    if not all(attacks.values()):
        raise WrongAnswerError(f"soak: attacks that were never carried out: {attacks}")
    tally = soak.honest.tally()
    if not tally.served:
        raise WrongAnswerError("soak: the honest client was never served")
    written = sum(run.emitted.written for run in soak.runs)
    attacked = ", ".join(f"{name} {count}" for name, count in attacks.items())
    note = (
        f"{written:,} events in {soak.count} lives, accounts exact at {soak.checks} checks; "
        f"{soak.unread:,} told by the life after a killed one; attacks: {attacked}"
    )
    steady = [each for each in soak.load.rounds if not each.is_overload]
    overload = [each for each in soak.load.rounds if each.is_overload]
    yield from _rounds("steady load", steady, note)
    if overload:
        yield from _rounds("overload", overload, "")
    yield Measurement(
        line=_LINE,
        what="honest client, rounds served",
        unit="",
        values=(float(tally.served),),
        note=f"{tally.excused} failed during restarts, none else",
    )
    if soak.plateaus:
        yield Measurement(
            line=_LINE,
            what="memory, last third of a life against its first",
            unit="MB",
            values=tuple(each.growth_bytes / 1e6 for each in soak.plateaus),
            note="of lives long enough to tell; descriptors flat too",
        )
