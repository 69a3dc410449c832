"""Devices: what one is called, and the exact bytes that its key signs."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from enum import StrEnum

NAME_LENGTH_MAX = 40
_TYPED_MAX = 4 * NAME_LENGTH_MAX  # NFKC takes time by the square of a pile of accents
LOGIN_PREFIX = "pengcheng-wallet login v1"
REFRESH_PREFIX = "pengcheng-wallet refresh v1"


class Platform(StrEnum):
    """What a device runs."""

    IOS = "IOS"
    ANDROID = "ANDROID"
    HARMONY = "HARMONY"
    WEB = "WEB"
    OTHER = "OTHER"


_PLATFORMS = {
    Platform.IOS: ("苹果设备", "an Apple device"),
    Platform.ANDROID: ("安卓设备", "an Android device"),
    Platform.HARMONY: ("鸿蒙设备", "a HarmonyOS device"),
    Platform.WEB: ("浏览器", "a browser"),
    Platform.OTHER: ("其他设备", "another kind of device"),
}


@dataclass(frozen=True, slots=True)
class NewDevice:
    """A device to enrol: its P-256 key as SubjectPublicKeyInfo (DER), a cleaned name."""

    public_key: bytes
    name: str = field(repr=False)
    platform: Platform


def platform_text(platform: str | None, language: str) -> str | None:
    """A platform in words; None for one that nobody knows."""
    if platform not in Platform.__members__:
        return None
    chinese, english = _PLATFORMS[Platform(platform)]
    return chinese if language.lower().startswith("zh") else english


def clean_name(text: str) -> str | None:
    """A device's name as kept (NFKC, single spaces, 1 to 40 readable characters), or None."""
    if len(text) > _TYPED_MAX:
        return None
    name = " ".join(unicodedata.normalize("NFKC", text).split())
    if not 1 <= len(name) <= NAME_LENGTH_MAX:
        return None
    # Cf would let a name be shown backwards, or as nothing.
    return None if any(unicodedata.category(one)[0] == "C" for one in name) else name


def login_message(challenge_id: str, nonce: str) -> bytes:
    """What a known device signs to sign in: three lines, without a line end after the last.

    ``challenge_id`` and ``nonce`` as `login` answered them. The prefix keeps the key's signatures
    for one purpose from being worth anything for another.
    """
    return f"{LOGIN_PREFIX}\n{challenge_id}\n{nonce}".encode()


def refresh_message(refresh_token: str) -> bytes:
    """What a device signs to go on: the token itself, which is newest only once."""
    return f"{REFRESH_PREFIX}\n{refresh_token}".encode()
