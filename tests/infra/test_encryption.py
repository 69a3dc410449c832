"""Personal data at rest opens in its own place only, and with our keys only."""

from __future__ import annotations

import base64
import os

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain import sealing
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


_PLACES = st.tuples(st.sampled_from(sorted(sealing.PLACES)), st.text(max_size=40))


@given(_PLACES, _PLACES)
def test_no_registered_place_opens_what_was_sealed_for_another(
    here: tuple[str, str], there: tuple[str, str]
) -> None:
    assume(here != there)
    with pytest.raises(DecryptionFailed):
        encryption.decrypt(*there, encryption.encrypt(*here, "王小明"))


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


def test_an_older_key_may_go_on_sealing_until_every_process_has_the_new_one() -> None:
    ring = KeyRing(f"1:{OLD},2:{NEW}", sealing=1)
    sealed = ring.seal(b"place", "text")
    assert encryption.key_number(sealed) == 1
    assert KeyRing(f"1:{OLD}").open(b"place", sealed) == "text"
    assert KeyRing(f"1:{OLD},2:{NEW}").open(b"place", sealed) == "text"


def test_a_sealing_key_that_is_not_there_is_named_by_its_setting() -> None:
    with pytest.raises(ValueError, match="WALLET_SEALING_KEY"):
        KeyRing(f"1:{OLD}", sealing=2)


@pytest.mark.parametrize(
    "text", ["", "1", "1:", "0:" + OLD, f"1:{OLD},1:{OLD}", "x:" + OLD, "1:c2hvcnQ=", "1:***"]
)
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
