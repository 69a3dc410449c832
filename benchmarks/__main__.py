"""``make bench [ONLY=core|graphql|logins|timing|proofs] [BASE=<commit>]``: writes RESULTS.md."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import core, figures, graphql, logins, proofs, timing
from benchmarks.figures import Suite

RESULTS = Path(__file__).parent / "RESULTS.md"
SUITES: dict[str, Callable[..., Suite]] = {
    "core": core.run,
    "graphql": graphql.run,
    "logins": logins.run,
    "timing": timing.run,
    "proofs": proofs.run,
}


def main() -> None:
    only = [name for name in (os.environ.get("ONLY") or "").split(",") if name]
    if unknown := [name for name in only if name not in SUITES]:
        sys.exit(f"no such benchmark: {', '.join(unknown)} (there are {', '.join(SUITES)})")
    rounds = int(os.environ.get("ROUNDS") or 3)
    seconds = int(os.environ.get("SECONDS_EACH") or 8)
    before = figures.contention()
    suites: list[Suite] = []
    for name in only or SUITES:
        print(f"{name}:", flush=True)
        suites.append(SUITES[name](rounds=rounds, seconds=seconds))
    if target := os.environ.get("WALLET_BENCH_JSON"):
        Path(target).write_text(json.dumps([suite.as_dict() for suite in suites]))
        return
    text = _report(suites, before)
    if base := os.environ.get("BASE"):
        text += _compared(base, suites, only or list(SUITES), rounds, seconds)
    if not only:
        RESULTS.write_text(text)
        print(f"written to {RESULTS.relative_to(Path.cwd())}")
    else:
        print(f"(part of the suites: {RESULTS.name} is left as it was)")


def _report(suites: list[Suite], before: str) -> str:
    head = (
        "# Results\n\n"
        "Written by `make bench`. Compare the ratios: they were taken in one run, in turns, on one"
        " machine; the absolute figures belong to that machine on that day.\n\n"
        f"- machine: {figures.machine()}; shared with other work; {before}\n"
        f"- commit: {figures.commit()}; {time.strftime('%Y-%m-%d', time.gmtime())}\n\n"
    )
    return head + figures.markdown(suites)


def _compared(base: str, suites: list[Suite], names: list[str], rounds: int, seconds: int) -> str:
    """Measure an older commit beside this one, with this environment, and set it against."""
    with tempfile.TemporaryDirectory(prefix="wallet-base-") as folder:
        tree, answer = Path(folder) / "tree", Path(folder) / "figures.json"
        subprocess.run(["git", "worktree", "add", "--detach", tree, base], check=True)
        try:
            subprocess.run(
                [sys.executable, "-m", "benchmarks"],
                cwd=tree,
                check=True,
                env={
                    **os.environ,
                    "ONLY": ",".join(names),
                    "BASE": "",
                    "ROUNDS": str(rounds),
                    "SECONDS_EACH": str(seconds),
                    "WALLET_BENCH_JSON": str(answer),
                },
            )
            older = json.loads(answer.read_text())
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", tree], check=True)
            shutil.rmtree(tree, ignore_errors=True)
    known = {f["name"]: f["per_second"] for suite in older for f in suite["figures"]}
    lines = [f"## Against {base}", "", "| what | now ÷ then |", "|---|--:|"]
    for suite in suites:
        for f in suite.figures:
            if f.name in known:
                lines.append(f"| {f.name} | {f.per_second / known[f.name]:.2f} |")
                print(f"  {f.name:<58} {f.per_second / known[f.name]:>9.2f} × {base}")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
