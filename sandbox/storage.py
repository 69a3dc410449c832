"""One SQLite file per server. Only this process may open it: two would call back twice."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def connect(directory: Path, *, name: str, schema: str) -> sqlite3.Connection:
    """The file ``name`` in ``directory`` with ``schema`` made; exits with a sentence if in use."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / name
    database = sqlite3.connect(path, timeout=2, isolation_level=None)
    database.row_factory = sqlite3.Row
    try:
        database.execute("pragma locking_mode = exclusive")
        database.execute("pragma journal_mode = wal")
        # A killed process loses nothing at this level; only a power cut might.
        database.execute("pragma synchronous = normal")
        database.executescript(schema)
    except sqlite3.OperationalError as error:
        sys.exit(f"{path} can't be used (is another server running on it?): {error}")
    path.chmod(0o600)
    return database


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All of the block or nothing of it. Blocks never await, so they never meet."""
    database.execute("begin immediate")
    try:
        yield
    except BaseException:
        database.execute("rollback")
        raise
    database.execute("commit")
