"""What is logged can be read by machines, and says nothing about anybody."""

from __future__ import annotations

import json
import logging as standard

import pytest
import structlog

from infra import logging


@pytest.fixture
def lines(capsys):
    structlog.contextvars.clear_contextvars()
    logging.configure(level="info")

    def read():
        return [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    return read


def test_a_line_is_json_with_level_time_part_and_request_id(lines):
    structlog.contextvars.bind_contextvars(request_id="r1")
    logging.get("payments").info("posted", amount_minor=5)
    logging.get("payments").debug("not_written")
    (line,) = lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "posted",
        "level": "info",
        "part": "payments",
        "request_id": "r1",
        "amount_minor": 5,
    }


def test_personal_values_are_removed_at_any_depth(lines):
    logging.get("x").info(
        "seen", phone="13800001111", Token="t-1", deep={"list": [{"password": "p-1"}], "kept": 1}
    )
    (line,) = lines()
    assert line["deep"]["kept"] == 1
    assert not any(text in json.dumps(line) for text in ("13800001111", "t-1", "p-1"))


def test_exceptions_are_types_and_frames_without_their_texts(lines):
    def look_up():
        raise KeyError("13800001111")

    try:
        try:
            look_up()
        except KeyError as cause:
            raise ValueError("13800001111 unknown") from cause
    except ValueError as error:
        logging.get("x").error("failed", exc_info=error)
        logging.get("x").exception("failed_again")
        standard.getLogger("library").error("theirs", exc_info=error)
    written = lines()
    assert len(written) == 3
    for line in written:
        assert line["exception"] == ["builtins.ValueError", "builtins.KeyError"]
        assert "test_logging.py" in line["frames"][-1]
    assert "13800001111" not in json.dumps(written)


def test_what_json_cannot_hold_is_written_as_text(lines):
    logging.get("x").warning("odd", thing=object, bytes_left={1, 2})
    (line,) = lines()
    assert line["thing"] == "<class 'object'>"


def test_in_development_lines_are_for_people(capsys):
    logging.configure(level="debug", development=True)
    try:
        logging.get("x").info("hello_there", pin="123456")
        written = capsys.readouterr().err
    finally:
        logging.configure()
    assert "hello_there" in written
    assert "123456" not in written


def test_a_library_that_repeats_an_exceptions_text_is_cut_short(lines):
    library = standard.getLogger("library")
    try:
        raise ValueError("invalid input '13800001111'")
    except ValueError as error:
        library.exception("%s failed: %s", "job", error)
        library.error(f"Task exception was never retrieved\nfuture: {error!r}", exc_info=error)
    written = lines()
    assert [line["event"] for line in written] == [
        "%s failed: %s",
        "Task exception was never retrieved",
    ]
    assert "13800001111" not in json.dumps(written)


def test_a_developers_terminal_shows_an_exceptions_types_and_frames_without_its_text(capsys):
    logging.configure(level="info", development=True)
    try:
        raise ValueError("invalid input '13800001111'")
    except ValueError:
        logging.get("x").exception("failed")
        standard.getLogger("library").exception("failed too")
    finally:
        written = capsys.readouterr().err
        logging.configure()
    assert written.count("builtins.ValueError") == 2
    assert written.count("test_logging.py") == 2
    assert "13800001111" not in written
