"""The server speaks TLS itself; what is wrong with its files is told in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from streaming.config import Config
from streaming.errors import BadConfig
from streaming.server import greeting
from streaming.tls import server_context
from tests.streaming.certificates import make_certificate


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    _, other = make_certificate(tmp_path, "other")
    wrong = {
        (tmp_path / "nothing.pem", key): "nothing.pem, which cannot be read: No such file",
        (certificate, tmp_path): "cannot be read: Is a directory",
        (certificate, other): "does not belong to tls_cert",
        (key, key): "holds no certificate in PEM",
        (certificate, certificate): "holds no private key in PEM",
    }
    for files, text in wrong.items():
        with pytest.raises(BadConfig, match=text) as refusal:
            server_context(*files)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("given, missing", [("tls_cert", "tls_key"), ("tls_key", "tls_cert")])
def test_one_file_without_the_other_is_refused(given: str, missing: str) -> None:
    with pytest.raises(BadConfig, match=f"{given} is set and {missing} is not; set both"):
        Config(**{given: "some.pem"})


def test_the_greeting_says_https() -> None:
    assert "https://127.0.0.1:8400/" in greeting("127.0.0.1", 8400, Config(), is_secure=True)
