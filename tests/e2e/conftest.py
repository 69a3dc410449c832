"""One whole stack for all end-to-end tests: servers, gateways, demo city, API and worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra import running
from infra import stack as launcher


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[running.Running]:
    """Started once, as ``make run`` does it, on data of its own; cheap hashes."""
    env = {"WALLET_PASSWORD_COST": "4", "WALLET_PIN_COST": "4"}
    # The whole city asks from one address, and a few people for all of it.
    for name in ("ADDRESS", "USER", "COSTLY"):
        env |= {f"WALLET_RATE_{name}_PER_MINUTE": "6000000", f"WALLET_RATE_{name}_BURST": "100000"}
    with launcher.start(data=tmp_path_factory.mktemp("stack"), env=env, demo=True) as started:
        yield started
