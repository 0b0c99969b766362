"""Can the TLS files of the settings be used? Read as the server reads them, and their dates."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from server.checks.finding import Finding, blocker, fine, warning
from server.errors import ServerError
from server.listening import server_tls
from server.settings import Settings

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_SOON_DAYS: Final = 14


def tls_files(settings: Settings) -> Finding:
    """Load certificate, key and authorities, and look at when they are valid."""
    name = "tls files"
    try:
        if server_tls(settings) is None:
            return fine(name, "none: the TCP address, if there is one, is in the clear")
    except ServerError as error:
        remedy = "see the --tls-… flags; hubble-server config shows where they come from"
        return blocker(name, str(error), remedy)
    certificates = list(_certificates(settings))
    now = datetime.now(UTC)
    wrong = [each for path, found in certificates for each in _why_not_now(path, found, now)]
    if wrong:
        return warning(name, "; ".join(wrong), "renew it, or set the clock: clients will refuse it")
    path, first = certificates[0]
    days = (first.not_valid_after_utc - now).days
    if days < _SOON_DAYS:
        return warning(name, f"{path} ends in {days} days", "renew it in time: it is read again")
    ends = first.not_valid_after_utc.date()
    clients = "any client" if not settings.tls_client_ca_files else "clients with a certificate"
    return fine(name, f"{path} until {ends}, for {clients}")


def _certificates(settings: Settings) -> Iterator[tuple[Path, "Certificate"]]:
    """Give all certificates, the server's own first, each with its file."""
    # Imported here: a server, which imports this to offer `check`, has no use for these 8 MB.
    from cryptography.x509 import load_pem_x509_certificates

    for path in (settings.tls_cert_file, *(settings.tls_client_ca_files or ())):
        if path is not None:
            for each in load_pem_x509_certificates(path.read_bytes()):
                yield path, each


def _why_not_now(path: Path, found: "Certificate", now: datetime) -> Iterator[str]:
    subject = found.subject.rfc4514_string() or "certificate without a name"
    if now < found.not_valid_before_utc:
        yield f"{path}: {subject}: not valid before {found.not_valid_before_utc:%Y-%m-%d %H:%M}"
    if now > found.not_valid_after_utc:
        yield f"{path}: {subject}: expired on {found.not_valid_after_utc:%Y-%m-%d %H:%M}"
