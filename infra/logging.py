"""Structured logs: one JSON object a line, with the request's id and without personal data.

Exceptions are written as their types and frames only: their texts may quote what a user sent.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any

import msgspec
import structlog

PERSONAL = frozenset(
    {"phone", "name", "real_name", "display_name", "holder_name", "id_number", "password", "code"}
    | {"postal_address", "new_password"}
    | {"pin", "token", "access_token", "refresh_token", "authorization", "cookie", "secret"}
    | {"card", "card_number", "number", "variables", "query", "body", "email", "address", "text"}
)
"""Keys whose values never reach a log, at any depth."""

_BLANK = "[removed]"
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_FRAMES_MAX = 40


def configure(*, level: str = "info", development: bool = False) -> None:
    """Sets up structlog for this process, and sends the standard library's records through it."""
    least = _LEVELS.get(level.lower(), logging.INFO)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        frames_only,
        without_personal_data,
    ]
    renderer = (
        _for_a_terminal if development else structlog.processors.JSONRenderer(serializer=_to_json)
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=_Lines,
        cache_logger_on_first_use=True,
    )
    _adopt_standard_library(shared, renderer, least)


class _Lines:
    """Writes to the standard error stream of the moment, which tests and supervisors replace."""

    def __init__(self, *_arguments: Any) -> None:
        pass

    def msg(self, line: str) -> None:
        # Whoever reads the log may have gone; the request it is about goes on.
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    debug = info = warning = error = critical = msg


def _keeps_quiet(record: logging.LogRecord) -> bool:
    """uvicorn writes the address and the query string of every socket; we write our own line."""
    return "WebSocket" not in str(record.msg)


class _StandardLines(logging.Handler):
    """The same for records of the standard library."""

    def emit(self, record: logging.LogRecord) -> None:
        _Lines().msg(self.format(record))


def get(name: str) -> Any:
    """The logger of a part of the program; events are snake_case words, facts are keywords."""
    return structlog.get_logger(part=name)


def without_personal_data(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """A processor that blanks the values of `PERSONAL` keys."""
    return {key: _cleaned(key, value) for key, value in event.items()}


def frames_only(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """A processor that turns `exc_info` into the exception's types and frames."""
    given = event.pop("exc_info", None)
    error = _exception_of(given)
    if error is not None:
        event["exception"] = _types(error)
        event["frames"] = _frames(error.__traceback__)
    return event


_console = structlog.dev.ConsoleRenderer()


def _for_a_terminal(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
    """structlog's console takes ``exception`` for a text of several lines."""
    if isinstance(event.get("exception"), list):
        lines = [" from ".join(event["exception"]), *event.pop("frames", ())]
        event["exception"] = "\n    ".join(lines)
    return _console(logger, method, event)


def _without_their_quotes(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Libraries repeat an exception in the text of the record: only its template is kept."""
    if event.get("exc_info"):
        event["event"] = str(event["_record"].msg).partition("\n")[0]
    return event


def _exception_of(given: Any) -> BaseException | None:
    if isinstance(given, BaseException):
        return given
    if isinstance(given, tuple):
        return given[1]
    if given:
        return sys.exc_info()[1]
    return None


def _types(error: BaseException) -> list[str]:
    chain: list[str] = []
    current: BaseException | None = error
    while current is not None and len(chain) < 10:
        chain.append(f"{type(current).__module__}.{type(current).__qualname__}")
        current = current.__cause__ or current.__context__
    return chain


def _frames(trace: TracebackType | None) -> list[str]:
    summary = traceback.extract_tb(trace)[-_FRAMES_MAX:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in summary]


def _cleaned(key: str, value: Any) -> Any:
    if key.lower() in PERSONAL:
        return _BLANK
    if isinstance(value, dict):
        return {inner: _cleaned(str(inner), item) for inner, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_cleaned("", item) for item in value]
    return value


def _to_json(event: Any, **_options: Any) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()


_REPLACED = (logging.StreamHandler, _StandardLines)


def _adopt_standard_library(shared: list[Any], renderer: Any, least: int) -> None:
    """Libraries log by the standard library; their exceptions and arguments get the same care."""
    handler = _StandardLines()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_without_their_quotes, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    top = logging.getLogger()
    # Whoever else listens by a class of their own (a test runner) stays.
    top.handlers[:] = [h for h in top.handlers if type(h) not in _REPLACED]
    top.addHandler(handler)
    top.setLevel(max(least, logging.INFO))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "arq"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = name != "uvicorn.access"
    # It writes query strings; `transport.middleware` writes the access line.
    logging.getLogger("uvicorn.access").disabled = True
    # A function of the module, so that configuring twice adds it once.
    logging.getLogger("uvicorn.error").addFilter(_keeps_quiet)
    # arq writes two lines a job; failures are logged by our own outbox.
    logging.getLogger("arq").setLevel(logging.WARNING)
    # httpx writes whole addresses, which may hold what we look people up by.
    logging.getLogger("httpx").setLevel(logging.WARNING)
