"""A file says that a machine made it: in tags, in signed credentials, on a sheet; and signing changes no sample."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from engine.audio import SAMPLE_RATE
from engine.generator import Model, Traits
from engine.take import Entry, Take
from moods.control import parse_control
from moods.opening import Opening
from streaming.files.credentials import MEDIA_TYPES, Credentials, read_credentials, self_made_credentials, sign
from streaming.files.errors import BadCredentials
from streaming.files.media import FORMATS, read_audio, write_audio
from streaming.files.provenance import Provenance, licence_sheet, provenance_of

TRAITS = Traits("score", 70, 2880, 1, True, True, Model("score", "1ace8d4b75f4" + "0" * 52))
SOUND = (0.1 * np.sin(np.arange(SAMPLE_RATE)[:, None] * (0.05, 0.06))).astype(np.float32)


def provenance(seed: int = 7, **fields: Any) -> Provenance:
    return provenance_of(Take(Opening(mood="epic", **fields), seed), TRAITS)


def signed(suffix: str, credentials: Credentials) -> tuple[io.BytesIO, bytes]:
    file = io.BytesIO()
    write_audio(file, [SOUND], FORMATS[suffix], {"comment": "plain"})
    before = file.getvalue()
    sign(file, suffix, provenance().manifest("take"), credentials, io.BytesIO())
    return file, before


def read(suffix: str, file: io.BytesIO) -> dict[str, Any]:
    file.seek(0)
    with c2pa.Reader(MEDIA_TYPES[suffix], file) as reader:
        return json.loads(reader.json())


@pytest.mark.parametrize("suffix", sorted(MEDIA_TYPES.keys() & FORMATS.keys()))
def test_credentials_hold_in_every_kind_of_file_and_change_no_sample(suffix: str) -> None:
    file, before = signed(suffix, self_made_credentials())
    found = read(suffix, file)
    assert found["validation_state"] == "Valid"
    assert [status["code"] for status in found["validation_status"]] == ["signingCredential.untrusted"]
    manifest = found["manifests"][found["active_manifest"]]
    assertions = {each["label"]: each["data"] for each in manifest["assertions"]}
    (action,) = assertions["c2pa.actions.v2" if "c2pa.actions.v2" in assertions else "c2pa.actions"]["actions"]
    assert action["digitalSourceType"].endswith("/trainedAlgorithmicMedia")
    assert assertions["org.undersong.generation"]["seed"] == 7
    decoded = [np.concatenate(list(read_audio(each))) for each in (file, io.BytesIO(before))]
    np.testing.assert_array_equal(*decoded)


def test_a_change_after_signing_is_seen() -> None:
    file, _ = signed(".wav", self_made_credentials())
    file.seek(1000)
    file.write(b"\x01\x02\x03")
    assert read(".wav", file)["validation_state"] == "Invalid"


def test_a_signer_may_bring_a_certificate(tmp_path: Path) -> None:
    ours = self_made_credentials()
    certificates, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    certificates.write_bytes(ours.certificates)
    key.write_bytes(ours.private_key)
    own = read_credentials(certificates, key)
    assert (own.algorithm, own.is_test) == ("es256", False)
    assert read(".flac", signed(".flac", own)[0])["validation_state"] == "Valid"
    assert b"PRIVATE" not in repr(own).encode()


def test_what_cannot_sign_is_told_before_anything_is_made(tmp_path: Path) -> None:
    ours = self_made_credentials()
    certificates, key, other = tmp_path / "chain.pem", tmp_path / "key.pem", tmp_path / "other.pem"
    certificates.write_bytes(ours.certificates)
    key.write_bytes(b"no key")
    other.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    for chain, private, why in (
        (certificates, key, "no private key in PEM"),
        (certificates, other, "not the key of the first certificate"),
        (key, other, "no certificates in PEM"),
        (tmp_path / "none.pem", key, "No such file"),
    ):
        with pytest.raises(BadCredentials, match=why):
            read_credentials(chain, private)


def test_the_same_music_has_the_same_id_and_other_music_another() -> None:
    louder = (Entry(0, 50, parse_control({"type": "steer", "set": {"energy": 0.9}})),)
    ids = [
        provenance().produce_id,
        provenance(seed=8).produce_id,
        provenance(energy=0.3).produce_id,
        provenance_of(Take(Opening(mood="epic"), 7, louder), TRAITS).produce_id,
    ]
    assert len(set(ids)) == 4
    assert provenance().produce_id == ids[0]


def test_the_label_that_china_asks_for_is_a_json_text() -> None:
    label = json.loads(provenance().aigc())
    assert label["Label"] == "1"
    assert label["ProduceID"] == provenance().produce_id
    assert '{"AIGC":{' in provenance().comment_with_aigc()


def test_the_sheet_names_what_was_learnt_from() -> None:
    sheet = licence_sheet(provenance(), ["mix.wav"])
    assert all(word in sheet for word in ("mix.wav", "epic", "Seed         7", "Freedoom", "CC BY 4.0", "OpenScore"))
