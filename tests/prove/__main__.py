"""``python -m tests.prove``: one suite for as long as it is told, with faults injected.

SUITE, DURATION_SECONDS and SEED come as options or from the environment. The exit code is 0 only
if no round failed and nothing that was to be exercised was left out.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import sys

from tests.prove import stage

SUITES = ("money", "identity")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.prove", description=__doc__)
    environment = os.environ.get
    parser.add_argument("--suite", choices=SUITES, default=environment("SUITE") or None)
    parser.add_argument(
        "--duration-seconds", type=float, default=float(environment("DURATION_SECONDS") or 60)
    )
    parser.add_argument("--seed", type=int, default=int(environment("SEED") or 0))
    chosen = parser.parse_args(arguments)
    if chosen.suite not in (None, *SUITES):
        parser.error(f"SUITE is one of {', '.join(SUITES)}")
    seed = chosen.seed or random.SystemRandom().randrange(1, 10**9)
    suites = [chosen.suite] if chosen.suite else list(SUITES)
    codes = []
    stage.configure()  # before any suite is loaded: the workers read their settings then
    for suite in suites:
        # Only the suite that was asked for is loaded, so that a broken one stops no other.
        module = importlib.import_module(f"tests.prove.{suite}")
        codes.append(
            module.prove(duration_seconds=chosen.duration_seconds / len(suites), seed=seed)
        )
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
