"""Who somebody says they are, compared."""

from __future__ import annotations

import pytest

from domain.recovery import Identity

KEPT = {"name": "Ana-María Núñez", "id_number": "44030519900307101X"}


@pytest.mark.parametrize(
    ("name", "last6"),
    [
        ("Ana-María Núñez", "07101X"),
        ("  ana-maría   núñez ", "07101x"),
        ("Ana-Mari\u0301a Nu\u0301n\u0303ez", "０７１０１Ｘ"),
    ],
)
def test_forms_and_cases_make_no_difference(name: str, last6: str) -> None:
    assert Identity(name, last6).is_of(**KEPT)


@pytest.mark.parametrize(
    ("name", "last6"),
    [
        ("Ana-María Núñez", "7101X"),
        ("Ana-María Núñez", "44030519900307101X"),
        ("Ana-María Núñez", ""),
        ("Ana María Núñez", "07101X"),
        ("", "07101X"),
        ("", ""),
        ("a" * 100_000, "\u0301" * 100_000),
        ("\ud800", "\udfff"),
    ],
)
def test_both_have_to_be_right_and_whole(name: str, last6: str) -> None:
    assert not Identity(name, last6).is_of(**KEPT)


def test_what_was_typed_stays_out_of_representations() -> None:
    assert "07101X" not in repr(Identity("Ana-María Núñez", "07101X"))
