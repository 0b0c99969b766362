import shutil
import ssl
from pathlib import Path

import pytest

from bench.soaking.certificates import Certificates

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


def test_a_replaced_pair_fits_and_is_another(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "tls")
    before = certificates.server.read_text()
    der = certificates.replace()
    assert ssl.PEM_cert_to_DER_cert(certificates.server.read_text()) == der
    assert ssl.PEM_cert_to_DER_cert(before) != der
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server, certificates.server_key)
