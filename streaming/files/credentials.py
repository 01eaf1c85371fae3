"""Content Credentials (C2PA): a signed statement in the file that a machine made its music. In: a file and what is
to be said of it; out: the file with it. Remembers the certificate that it made for itself; the calling thread works.
"""

from __future__ import annotations

import datetime
import json
import shutil
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from streaming.files.errors import BadCredentials

MEDIA_TYPES = {
    ".wav": "audio/wav", ".mp3": "audio/mpeg", ".flac": "audio/flac", ".m4a": "audio/mp4", ".mp4": "video/mp4",
    ".mov": "video/quicktime",
}  # fmt: skip
"""What can hold them, by the name's ending; Ogg, Opus, Matroska and WebM cannot."""
_CURVES = {256: "es256", 384: "es384", 521: "es512"}
_TEST_DAYS = 365
_NAME = "Undersong test certificate"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who signs: certificates in PEM, the signer's first, and the signer's key."""

    certificates: bytes
    private_key: bytes = field(repr=False)
    algorithm: str = "es256"
    is_test: bool = False
    """Made by Undersong for itself: the statement is whole and unchanged, but nobody vouches for who signed it."""


def read_credentials(certificates: Path, private_key: Path) -> Credentials:
    """A signer's own, from two files in PEM. Raises `BadCredentials`."""
    try:
        chain_pem, key_pem = certificates.read_bytes(), private_key.read_bytes()
    except OSError as error:
        raise BadCredentials(error.filename, error.strerror or "it cannot be read") from error
    try:
        chain = x509.load_pem_x509_certificates(chain_pem)
    except ValueError as error:
        raise BadCredentials(certificates, f"it holds no certificates in PEM ({error})") from error
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadCredentials(private_key, f"it holds no private key in PEM without a password ({error})") from error
    of_key, of_first = (
        public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        for public in (key.public_key(), chain[0].public_key())
    )
    if of_key != of_first:
        raise BadCredentials(private_key, "it is not the key of the first certificate")
    if chain[0].not_valid_after_utc < datetime.datetime.now(datetime.UTC):
        raise BadCredentials(certificates, f"it ran out at {chain[0].not_valid_after_utc:%Y-%m-%d}")
    return Credentials(chain_pem, key_pem, _algorithm(key, private_key))


def _algorithm(key: object, path: Path) -> str:
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size in _CURVES:
        return _CURVES[key.curve.key_size]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    raise BadCredentials(path, "its kind cannot sign; use EC on P-256, P-384 or P-521, Ed25519 or RSA")


@cache
def self_made_credentials() -> Credentials:
    """A certificate made here, once for the process, by an authority that nobody else knows."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name, name = _name(f"{_NAME} authority"), _name(_NAME)
    root = (
        _certificate(root_name, root_name, root_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    signer = (
        _certificate(name, root_name, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Credentials(signer.public_bytes(pem) + root.public_bytes(pem), private, is_test=True)


def _name(common_name: str) -> x509.Name:
    words = {NameOID.COMMON_NAME: common_name, NameOID.ORGANIZATION_NAME: "Undersong (not verified)"}
    return x509.Name([x509.NameAttribute(oid, word) for oid, word in words.items()])


def _certificate(name: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=_TEST_DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def sign(file: BinaryIO, suffix: str, manifest: dict[str, Any], credentials: Credentials, scratch: BinaryIO) -> None:
    """Put the signed `manifest` into `file`, open for reading and writing; `scratch` is an empty file beside it.

    The last thing that is done to a file: whatever changes it later breaks the signature. Raises OSError, and
    `BadCredentials` where the signer is refused.
    """
    import c2pa  # here and not above: it loads a library of 40 MB

    info = c2pa.C2paSignerInfo(credentials.algorithm.encode(), credentials.certificates, credentials.private_key, None)
    file.seek(0)
    try:
        with c2pa.Signer.from_info(info) as signer, c2pa.Builder(json.dumps(manifest)) as builder:
            builder.sign(signer, MEDIA_TYPES[suffix], file, scratch)
    except c2pa.C2paError as error:
        raise BadCredentials("the certificate", f"it cannot sign: {error}") from error
    scratch.seek(0)
    file.seek(0)
    file.truncate()
    shutil.copyfileobj(scratch, file, 2**20)
