"""What we ask of authenticators, and which of their keys we take."""

from __future__ import annotations

import json
import os

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from infra import authenticators, settings
from tests.authenticator import Authenticator, cbor


@pytest.mark.parametrize(
    ("public_url", "chosen", "rp_id", "origins"),
    [
        (
            "http://127.0.0.1:8000",
            {},
            "localhost",
            ("http://127.0.0.1:8000", "http://localhost:8000"),
        ),
        ("https://wallet.example.org", {}, "wallet.example.org", ("https://wallet.example.org",)),
        (
            "https://wallet.example.org:8443",
            {
                "WALLET_PASSKEY_RP_ID": "example.org",
                "WALLET_PASSKEY_ORIGINS": "https://app.example.org, android:apk-key-hash:x",
            },
            "example.org",
            (
                "https://wallet.example.org:8443",
                "https://app.example.org",
                "android:apk-key-hash:x",
            ),
        ),
    ],
    ids=["this machine", "by the public address", "chosen"],
)
def test_passkeys_belong_to_a_domain_and_work_on_its_pages(
    monkeypatch: pytest.MonkeyPatch,
    public_url: str,
    chosen: dict[str, str],
    rp_id: str,
    origins: tuple[str, ...],
) -> None:
    for name, value in {"WALLET_PUBLIC_URL": public_url, **chosen}.items():
        monkeypatch.setenv(name, value)
    settings.get_settings.cache_clear()
    try:
        assert authenticators.party() == authenticators.Party(rp_id, origins)
    finally:
        monkeypatch.undo()
        settings.get_settings.cache_clear()


def test_a_verified_user_is_asked_for_and_no_attestation() -> None:
    made = json.loads(
        authenticators.registration_options(
            challenge=b"c" * 32, user_handle=b"u" * 32, user_name="+86 138****0000", known=[b"old"]
        )
    )
    asked = json.loads(authenticators.request_options(challenge=b"c" * 32))
    assert made["authenticatorSelection"] == {
        "residentKey": "required",
        "requireResidentKey": True,
        "userVerification": "required",
    }
    assert made["attestation"] == "none"
    assert [one["id"] for one in made["excludeCredentials"]] == ["b2xk"]
    assert (asked["userVerification"], asked["allowCredentials"]) == ("required", [])


def ec_key(curve: ec.EllipticCurve, number: int, algorithm: int) -> bytes:
    numbers = ec.generate_private_key(curve).public_key().public_numbers()
    size = (curve.key_size + 7) // 8
    x, y = (value.to_bytes(size, "big") for value in (numbers.x, numbers.y))
    return cbor({1: 2, 3: algorithm, -1: number, -2: x, -3: y})


def rsa_key(bits: int, exponent: int = 65_537) -> bytes:
    numbers = rsa.generate_private_key(exponent, bits).public_key().public_numbers()
    modulus = numbers.n.to_bytes((bits + 7) // 8, "big")
    return cbor({1: 3, 3: -257, -1: modulus, -2: exponent.to_bytes(3, "big")})


def taken(public_key: bytes) -> bool:
    device = Authenticator()
    options = authenticators.registration_options(
        challenge=os.urandom(32), user_handle=os.urandom(32), user_name="-", known=[]
    )
    made, nonce = authenticators.read_registration(device.create(options, public_key=public_key))
    try:
        registered = authenticators.verify_registration(made, challenge=nonce)
    except authenticators.NotVerified:
        return False
    assert registered.public_key == public_key
    return True


def test_keys_that_devices_make_are_taken() -> None:
    assert taken(ec_key(ec.SECP256R1(), 1, -7))
    assert taken(rsa_key(2048))


def test_keys_that_cost_or_protect_nothing_are_not() -> None:
    assert not taken(ec_key(ec.SECP384R1(), 2, -35))
    assert not taken(ec_key(ec.SECP521R1(), 3, -7))
    assert not taken(rsa_key(1024))
    assert not taken(rsa_key(2048, 3))
    assert not taken(cbor({1: 3, 3: -257, -1: b"\xff" * 1_100, -2: b"\x01\x00\x01"}))
    assert not taken(cbor({1: 1, 3: -8, -1: 6, -2: bytes(32)}))
    assert not taken(b"")
