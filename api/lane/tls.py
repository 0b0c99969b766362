"""TLS for both sides: contexts from files, made anew when a file changes.

    ServerTls(certificate=…, key=…, client_authorities=…)   with authorities: mTLS
    ClientTls(authorities=…, certificate=…, key=…)          without authorities: the system's

Give them to ``Server.listen`` and ``Channel``. TLS 1.3 or newer, and h2 by ALPN or nothing. Each
handshake looks at the files: what has changed counts from the next connection on, those that are
open stay. Files that cannot be used (half written, a key of another certificate) are logged once,
and the last good ones stay in use.
"""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from api.lane.alert import AlertingContext

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_log = logging.getLogger(__name__)
_Seen = tuple[tuple[int, int, int, int] | None, ...]


class TlsError(Exception):
    """Files that cannot be used for TLS: what failed, and which file."""


class TlsSource(Protocol):
    """What gives a context for the next handshake."""

    def context(self) -> ssl.SSLContext:
        """Return the context to use now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Files:
    certificate: Path | None
    key: Path | None
    authorities: tuple[Path, ...]

    def __post_init__(self) -> None:
        if self.certificate is not None and self.key is None:
            raise TlsError(f"set up TLS: certificate {self.certificate} needs a key, none is given")
        if self.key is not None and self.certificate is None:
            raise TlsError(f"set up TLS: key {self.key} needs a certificate, none is given")

    def seen(self) -> _Seen:
        """Return what changes when a file does; replaced links count, as Kubernetes makes them."""
        own = (self.certificate, self.key)
        return tuple(_stat(path) for path in (*own, *self.authorities) if path is not None)

    def load_into(self, context: ssl.SSLContext) -> ssl.SSLContext:
        """Load all; raises TlsError naming the file that cannot be used."""
        if self.certificate is not None and self.key is not None:
            _load_pair(context, self.certificate, self.key)
        for path in self.authorities:
            _load_authorities(context, path)
        return context


class ServerTls:
    """A server's certificate and key; with ``client_authorities`` clients must show one of theirs.

    Raises:
        TlsError: a file cannot be used.
    """

    def __init__(
        self, *, certificate: Path, key: Path, client_authorities: Iterable[Path] = ()
    ) -> None:
        self._files = _Files(
            certificate=certificate, key=key, authorities=tuple(client_authorities)
        )
        self._cache = _Cache(self._files, self._new)

    def context(self) -> ssl.SSLContext:
        """Return the context of the newest usable files."""
        return self._cache.context()

    def _new(self) -> ssl.SSLContext:
        context = _modern(AlertingContext(ssl.PROTOCOL_TLS_SERVER))
        if self._files.authorities:
            context.verify_mode = ssl.CERT_REQUIRED
        return self._files.load_into(context)


class ClientTls:
    """Whom a client trusts, and the certificate that it shows; ``verify=False`` trusts anybody.

    Raises:
        TlsError: a file cannot be used, or a certificate comes without key or the other way round.
    """

    def __init__(
        self,
        *,
        authorities: Iterable[Path] = (),
        certificate: Path | None = None,
        key: Path | None = None,
        verify: bool = True,
    ) -> None:
        self._files = _Files(certificate=certificate, key=key, authorities=tuple(authorities))
        self._verify = verify
        self._cache = _Cache(self._files, self._new)

    def context(self) -> ssl.SSLContext:
        """Return the context of the newest usable files."""
        return self._cache.context()

    def _new(self) -> ssl.SSLContext:
        context = _modern(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        if not self._verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif not self._files.authorities:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return self._files.load_into(context)


class _Maker(Protocol):
    def __call__(self) -> ssl.SSLContext:
        """Make a context of the files as they are now, or raise TlsError."""


class _Cache:
    """The context of the newest usable files."""

    def __init__(self, files: _Files, make: _Maker) -> None:
        self._files = files
        self._make = make
        # Looked at before it is read: what changes in between is seen the next time.
        self._seen = files.seen()
        self._context = make()

    def context(self) -> ssl.SSLContext:
        seen = self._files.seen()
        if seen != self._seen:
            self._seen = seen
            try:
                self._context = self._make()
            except TlsError as error:
                _log.error("keep the TLS files in use: %s", error)
            else:
                _log.info("reload TLS files: certificate=%s", self._files.certificate)
        return self._context


def context_of(source: ssl.SSLContext | TlsSource) -> ssl.SSLContext:
    """Return the context for a handshake, with h2 as the only protocol offered."""
    context = source if isinstance(source, ssl.SSLContext) else source.context()
    context.set_alpn_protocols(["h2"])
    return context


def _modern(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    return context


def _stat(path: Path) -> tuple[int, int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _load_pair(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    _read(certificate, "certificate")
    _read(key, "key")
    try:
        # Without a password OpenSSL would ask for one on the terminal.
        context.load_cert_chain(certificate, key, password=lambda: _refuse_encrypted(key))
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or str(error)
        if reason == "KEY_VALUES_MISMATCH":
            raise TlsError(f"load TLS key {key}: not the key of {certificate}") from error
        if not _is_certificate(certificate):
            raise TlsError(f"load TLS certificate {certificate}: no PEM certificate") from error
        raise TlsError(f"load TLS key {key}: no PEM private key") from error


def _load_authorities(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(cadata=_read(path, "authorities"))
    except (ssl.SSLError, ValueError) as error:
        raise TlsError(f"load TLS authorities {path}: no PEM certificate") from error


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise TlsError(f"load TLS {what} {path}: {error.strerror}") from error


def _refuse_encrypted(key: Path) -> str:
    raise TlsError(f"load TLS key {key}: it is encrypted, need it in the clear")


def _is_certificate(path: Path) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except (ssl.SSLError, OSError):
        return False
    return True
