"""Personal data at rest opens in its own place only, and with our keys only."""

from __future__ import annotations

import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import encryption
from infra.encryption import DecryptionFailed, KeyRing

OLD = base64.b64encode(b"a" * 32).decode()
NEW = base64.b64encode(b"b" * 32).decode()


@given(st.text(), st.integers(min_value=1))
def test_every_text_comes_back(text: str, row: int) -> None:
    assert (
        encryption.decrypt("users.name", row, encryption.encrypt("users.name", row, text)) == text
    )


@pytest.mark.parametrize(
    ("column", "row"), [("users.name", 2), ("users.phone", 1), ("bank_card.token", 1)]
)
def test_a_ciphertext_moved_to_another_place_does_not_open(column: str, row: int) -> None:
    sealed = encryption.encrypt("users.name", 1, "王小明")
    with pytest.raises(DecryptionFailed):
        encryption.decrypt(column, row, sealed)


@given(st.data())
def test_any_changed_byte_is_noticed(data: st.DataObject) -> None:
    sealed = bytearray(encryption.encrypt("users.name", 1, "王小明"))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DecryptionFailed):
        encryption.decrypt("users.name", 1, bytes(sealed))


@given(st.binary(max_size=40))
def test_rubbish_is_refused_without_its_content(rubbish: bytes) -> None:
    with pytest.raises(DecryptionFailed) as caught:
        encryption.decrypt("users.name", 1, rubbish)
    assert str(caught.value) == ""
    assert caught.value.__cause__ is None


def test_the_newest_key_encrypts_and_older_ones_still_open() -> None:
    before = KeyRing(f"1:{OLD}").seal(b"place", "text")
    both = KeyRing(f"2:{NEW}, 1:{OLD}")

    assert both.open(b"place", before) == "text"
    after = both.seal(b"place", "text")
    assert encryption.key_number(before) == 1
    assert encryption.key_number(after) == 2
    with pytest.raises(DecryptionFailed):
        KeyRing(f"1:{OLD}").open(b"place", after)


@pytest.mark.parametrize("text", ["", "1", "1:", "0:" + OLD, "x:" + OLD, "1:c2hvcnQ=", "1:***"])
def test_a_wrong_key_ring_is_named_by_its_setting_not_by_its_content(text: str) -> None:
    with pytest.raises(ValueError, match="WALLET_ENCRYPTION_KEYS") as caught:
        KeyRing(text)
    assert OLD not in str(caught.value)


def test_two_ciphertexts_of_one_text_differ_but_its_index_does_not() -> None:
    phone = "+86138" + os.urandom(4).hex()
    assert encryption.encrypt("users.phone", 1, phone) != encryption.encrypt(
        "users.phone", 1, phone
    )
    assert encryption.blind_index("phone", phone) == encryption.blind_index("phone", phone)
    assert encryption.blind_index("phone", phone) != encryption.blind_index("card", phone)
