"""Keys of devices: one curve, one way to write a key and a signature."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from infra import device_keys
from tests.demo.device import DeviceKey, base64url

KEY = DeviceKey()
TEXT = "pengcheng-wallet login v1\nid\nnonce"


def public() -> bytes:
    der = device_keys.parse(KEY.public)
    assert der is not None
    return der


def spki(public_key: object, format_: object = None) -> str:
    chosen = format_ or serialization.PublicFormat.SubjectPublicKeyInfo
    return base64url(public_key.public_bytes(serialization.Encoding.DER, chosen))  # type: ignore[attr-defined]


def test_a_signature_is_good_for_its_key_and_message_only() -> None:
    signature = KEY.sign(TEXT)
    assert device_keys.verify(public(), signature, TEXT.encode())
    assert not device_keys.verify(public(), signature, TEXT.encode() + b"\n")
    assert not device_keys.verify(public(), DeviceKey().sign(TEXT), TEXT.encode())


def test_keys_of_other_kinds_are_none() -> None:
    others = [
        ec.generate_private_key(ec.SECP384R1()).public_key(),
        ec.generate_private_key(ec.SECP256K1()).public_key(),
        ed25519.Ed25519PrivateKey.generate().public_key(),
        rsa.generate_private_key(65537, 2048).public_key(),
    ]
    assert [device_keys.parse(spki(other)) for other in others] == [None] * len(others)


def test_a_key_is_written_in_one_way_only() -> None:
    der = public()
    point = der[-65:]
    odd = 3 if point[-1] & 1 else 2
    compressed = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
    for other in (
        base64url(der + b"\0"),
        base64url(der[:-1]),
        base64url(compressed + bytes([odd]) + point[1:33]),
        base64url(der[:-1] + bytes([der[-1] ^ 1])),  # no point of the curve
        base64.b64encode(der).decode(),
        KEY.public + "=",
        KEY.public[:-1],
        " " + KEY.public,
    ):
        assert device_keys.parse(other) is None, other


@pytest.mark.parametrize("raw", [bytes(64), b"\xff" * 64, bytes(63), bytes(65), b""])
def test_numbers_that_are_no_signature_verify_nothing(raw: bytes) -> None:
    assert not device_keys.verify(public(), base64url(raw), TEXT.encode())


@given(st.text(max_size=200))
def test_any_text_is_refused_without_an_exception(text: str) -> None:
    assert device_keys.parse(text) is None
    assert not device_keys.verify(public(), text, b"")
