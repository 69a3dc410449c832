"""Encrypted archives: what is put in comes out with the password, and not without."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra import archives
from tests import zips

PASSWORD = "ABCDE-FGHJK"


def made(files: dict[str, bytes], password: str = PASSWORD) -> bytes:
    stored = {name: archives.entry(name, content, password) for name, content in files.items()}
    listed = [archives.Entry(name, len(files[name]), len(entry)) for name, entry in stored.items()]
    return b"".join(stored.values()) + archives.directory(listed)


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(
        st.text("abc资料-.", min_size=1, max_size=12), st.binary(max_size=300), max_size=5
    )
)
def test_any_files_come_out_as_they_were_put_in(files: dict[str, bytes]) -> None:
    assert zips.opened(made(files), PASSWORD) == files


def test_without_the_password_nothing_comes_out_and_equal_files_look_different() -> None:
    text = "深圳湾口岸" * 50
    archive = made({"a": text.encode(), "b": text.encode()})

    assert "深圳".encode() not in archive
    with pytest.raises(zips.WrongPassword):
        zips.opened(archive, "ABCDE-FGHJL")
    first, second = (archives.entry("x", text.encode(), PASSWORD) for _ in range(2))
    assert first != second
    assert len(first) == len(second)


def test_a_changed_byte_is_noticed() -> None:
    archive = bytearray(made({"a": b"1234567890" * 20}))
    archive[70] ^= 1
    with pytest.raises((AssertionError, zips.WrongPassword)):
        zips.opened(bytes(archive), PASSWORD)


def test_what_a_plain_zip_cannot_hold_is_refused() -> None:
    with pytest.raises(archives.ArchiveTooLarge):
        archives.directory([archives.Entry("a", 1, 2**31)] * 3)
    with pytest.raises(archives.ArchiveTooLarge):
        archives.directory([archives.Entry("a", 1, 100)] * (archives.ENTRIES_MAX + 1))
