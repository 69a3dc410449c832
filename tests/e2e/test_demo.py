"""The demo's story against a whole stack, and every figure of the database after it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from infra import children, running
from tests.demo import __main__ as demo
from tests.demo import story
from tests.demo.stage import Stage, Unexpected, World

STEPS_MIN = 40


async def test_the_story_goes_as_promised_from_registration_to_unfreezing(
    stack: running.Running,
) -> None:
    said: list[str] = []
    assert await story.play(demo.world_of(stack.env), said.append) >= STEPS_MIN
    assert "all as promised" in said[-1]
    verified = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "services.ledger.verification"],
        cwd=children.CHECKOUT,
        env=stack.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout


def test_a_wrong_outcome_stops_the_story_and_says_what_was_expected() -> None:
    said: list[str] = []
    stage = Stage(
        World(api_url="http://127.0.0.1", sms_url="", logins=[], merchants=[]), said.append
    )
    with pytest.raises(Unexpected, match=r"the balance\n +expected: 1\.00\n +came: +2\.00"):
        stage.expect("the balance", "2.00", "1.00")
    with pytest.raises(Unexpected, match="WRONG_PIN"):
        stage.success({"__typename": "WrongPinError", "code": "WRONG_PIN"})
    with pytest.raises(Unexpected, match=r"expected: ACCOUNT_FROZEN\n +came: +PaymentSuccess"):
        stage.refusal({"__typename": "PaymentSuccess"}, "ACCOUNT_FROZEN")
    assert (stage.steps, said) == (0, [])


def test_a_stack_without_a_demo_city_is_a_sentence_and_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.play({"WALLET_DEMO_FILE": str(tmp_path / "demo.json")}) == 1
    assert "NOT AS PROMISED: this stack has no demo city" in capsys.readouterr().err
