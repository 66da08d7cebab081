"""Certificates that tests sign themselves."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def certificate(folder: Path, serial: int) -> None:
    """`site.pem` and `site.key`, put there by rename as renewal tools do."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop.example")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, private.public_key(), serial, now, now + datetime.timedelta(days=2))
    made = builder.sign(private, hashes.SHA256())
    form = serialization.PrivateFormat.PKCS8
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    for file, content in (("site.key", private.private_bytes(pem, form, plain)), ("site.pem", made.public_bytes(pem))):
        (folder / "draft").write_bytes(content)
        (folder / "draft").replace(folder / file)
