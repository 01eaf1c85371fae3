"""TLS of the server's own. In: two files in PEM; out: what sockets are wrapped with. Remembers nothing; any thread."""

from __future__ import annotations

import ssl
from pathlib import Path

from streaming.errors import BadConfig


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Raises `BadConfig` with the file that cannot be used."""
    for name, path in (("tls_cert", certificate), ("tls_key", key)):
        try:
            path.read_bytes()
        except OSError as error:
            raise BadConfig(f"{name} is {path}, which cannot be read: {error.strerror}", field=name) from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, _no_password)
    except ssl.SSLError as error:
        raise _named(error, certificate, key) from error
    return context


def _no_password() -> str:
    return ""  # else OpenSSL would ask for one on the terminal


def _named(error: ssl.SSLError, certificate: Path, key: Path) -> BadConfig:
    if error.reason == "KEY_VALUES_MISMATCH":
        return BadConfig(
            f"tls_key {key} does not belong to tls_cert {certificate}; give both of one pair", field="tls_key"
        )
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(certificate)
    except ssl.SSLError:
        text = f"tls_cert {certificate} holds no certificate in PEM; it begins with -----BEGIN CERTIFICATE-----"
        return BadConfig(text, field="tls_cert")
    return BadConfig(f"tls_key {key} holds no private key in PEM without a password", field="tls_key")
