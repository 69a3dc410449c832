"""What a passkey's proof costs a process, beside the bare signature check inside it."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.figures import Figure, Suite, median
from tests.authenticator import Authenticator

# `infra.settings` is read when the parties are asked for; no server is needed here.
os.environ.setdefault("WALLET_ENVIRONMENT", "development")
from infra import authenticators

ANSWERS = 200


def run(*, rounds: int, seconds: int) -> Suite:
    """Both in turn, on one core, one after the other."""
    suite = Suite(
        title="Passkey proofs",
        settings=f"One process, no database; median of {rounds} interleaved rounds of {seconds} s"
        f" each, over {ANSWERS} answers of one P-256 passkey: reading the credential's JSON,"
        " origin, domain, flags and signature.",
    )
    device, public_key = _passkey()
    texts = [_answer(device) for _ in range(ANSWERS)]
    message, signature = os.urandom(69), b""
    signature = device.key.sign(message, ec.ECDSA(hashes.SHA256()))

    def whole(number: int) -> None:
        answer = authenticators.read_answer(texts[number % ANSWERS])
        authenticators.verify(answer, public_key=public_key)

    def bare(_: int) -> None:
        device.key.public_key().verify(signature, message, ec.ECDSA(hashes.SHA256()))

    measured: dict[str, list[tuple[float, list[float]]]] = {"whole": [], "bare": []}
    for _ in range(rounds):
        measured["bare"].append(_measure(bare, seconds))
        measured["whole"].append(_measure(whole, seconds))
    ours = suite.add(_figure("a passkey's answer, read and verified", measured["whole"]))
    floor = suite.add(_figure("the bare P-256 signature check", measured["bare"]))
    suite.compare("verified answers ÷ bare signature checks", ours, floor)
    return suite


def _passkey() -> tuple[Authenticator, bytes]:
    device = Authenticator()
    options = authenticators.registration_options(
        challenge=os.urandom(32), user_handle=os.urandom(32), user_name="-", known=[]
    )
    made, nonce = authenticators.read_registration(device.create(options))
    return device, authenticators.verify_registration(made, challenge=nonce).public_key


def _answer(device: Authenticator) -> str:
    challenge = hashlib.sha256(os.urandom(32)).digest()
    return device.get(authenticators.request_options(challenge=challenge))


def _measure(call: Callable[[int], None], seconds: int) -> tuple[float, list[float]]:
    """Calls per second, and the milliseconds of each."""
    times: list[float] = []
    started = time.perf_counter()
    before = started
    while before - started < seconds:
        call(len(times))
        now = time.perf_counter()
        times.append((now - before) * 1_000)
        before = now
    return len(times) / (before - started), times


def _figure(name: str, measured: list[tuple[float, list[float]]]) -> Figure:
    times = sorted(one for _, each in measured for one in each)
    rates = [rate for rate, _ in measured]
    return Figure(
        name,
        median(rates),
        p50_ms=times[len(times) // 2],
        p99_ms=times[len(times) * 99 // 100],
        rounds=rates,
        notes=f"p50 {times[len(times) // 2]:.3f} ms, p99 {times[len(times) * 99 // 100]:.3f} ms",
    )
