"""Certificates for tests, made by openssl: an authority, and what it has signed."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1"


def openssl(folder: Path, command: str) -> None:
    subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)


class Authority:
    """A certificate authority with its files in one folder: `NAME.crt`, `NAME.key`."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder = folder
        self.name = name
        self.certificate = folder / f"{name}.crt"
        openssl(
            folder,
            f"req -x509 {_KEY} -nodes -days 2 -subj /CN={name} -keyout {name}.key -out {name}.crt",
        )

    def sign(self, file: str, dns_name: str) -> tuple[Path, Path]:
        """Make `FILE.crt` and `FILE.key` for a DNS name; return their paths."""
        (self.folder / "san.txt").write_text(f"subjectAltName=DNS:{dns_name}\n")
        openssl(
            self.folder,
            f"req {_KEY} -nodes -subj /CN={dns_name} -keyout {file}.key -out {file}.csr",
        )
        openssl(
            self.folder,
            f"x509 -req -in {file}.csr -CA {self.name}.crt -CAkey {self.name}.key "
            f"-CAcreateserial -days 2 -extfile san.txt -out {file}.crt",
        )
        return self.folder / f"{file}.crt", self.folder / f"{file}.key"
