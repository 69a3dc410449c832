"""Node.js with the packages of ``tests/js``: public clients and checkers as users run them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
JS = ROOT / "tests" / "js"
_LOCK = JS / "package-lock.json"
_INSTALLED = JS / "node_modules" / ".package-lock.json"  # npm's note of what it installed


def node() -> str:
    """The path of node, the packages being those of the lock file. Skips where there is none."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("!!! NODE OR NPM IS MISSING: public clients and checkers were NOT run !!!")
    if not _INSTALLED.exists() or _INSTALLED.stat().st_mtime < _LOCK.stat().st_mtime:
        command = [npm, "ci", "--no-audit", "--no-fund", "--omit=optional"]
        subprocess.run(command, cwd=JS, check=True, capture_output=True, timeout=300)
    return node


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    """A script of ``tests/js``, spoken with by lines."""
    return subprocess.Popen(
        [node(), script, *arguments],
        cwd=JS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
