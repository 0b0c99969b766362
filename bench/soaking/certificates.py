"""Certificates of a soak, made by the openssl command: an authority, a server's pair, a client's.

The server's pair is replaced while it is in use, key first: for a moment the two do not fit.
"""

import os
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Final

from bench.errors import NotMeasurableError, WrongAnswerError

SERVER_NAME: Final = "soak.test"
_NEW_KEY: Final = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
_LONGEST_S: Final = 60.0


class Certificates:
    """The files in one folder.

    Raises:
        NotMeasurableError: there is no openssl.
    """

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            raise NotMeasurableError("needs the openssl command to make certificates")
        folder.mkdir()
        self._folder = folder
        self.authority = folder / "ca.crt"
        self._openssl(f"req -x509 {_NEW_KEY} -days 2 -subj /CN=ca -keyout ca.key -out ca.crt")
        self._sign("client")
        self.client = folder / "client.crt"
        self.client_key = folder / "client.key"
        self.server = folder / "server.crt"
        self.server_key = folder / "server.key"
        self.replace()

    def replace(self) -> bytes:
        """Put a new pair in the place of the server's; the certificate as DER."""
        self._sign("next")
        der = ssl.PEM_cert_to_DER_cert((self._folder / "next.crt").read_text(encoding="ascii"))
        os.replace(self._folder / "next.key", self.server_key)
        os.replace(self._folder / "next.crt", self.server)
        return der

    def server_flags(self) -> list[str]:
        """What makes `hubble-server` use them, and ask clients for theirs."""
        return [
            *("--tls-cert-file", str(self.server)),
            *("--tls-key-file", str(self.server_key)),
            *("--tls-client-ca-files", str(self.authority)),
        ]

    def _sign(self, name: str) -> None:
        (self._folder / "san.txt").write_text(f"subjectAltName=DNS:{SERVER_NAME}\n")
        self._openssl(f"req {_NEW_KEY} -subj /CN={SERVER_NAME} -keyout {name}.key -out {name}.csr")
        self._openssl(
            f"x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 "
            f"-extfile san.txt -out {name}.crt"
        )

    def _openssl(self, words: str) -> None:
        done = subprocess.run(  # noqa: S603 - words of our own
            ["openssl", *words.split()],  # noqa: S607 - whichever the machine has
            cwd=self._folder,
            capture_output=True,
            check=False,
            timeout=_LONGEST_S,
        )
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()[-300:]
            raise WrongAnswerError(f"run openssl {words.split()[0]}: {said}")
