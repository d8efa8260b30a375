"""What a worker says while its database is away, and afterwards."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy.exc import OperationalError, ProgrammingError

from sealwatch.cloud.db.away import FailedTurns, cause, counted

REFUSED = OperationalError(
    "SELECT pages.page_id\nFROM pages",
    {},
    Exception("connection failed: connection refused\n\tIs the server running on that host?\n"),
)
"""As psycopg tells of a server that is away: several lines, and SQLAlchemy adds the statement."""


def turn(turns: FailedTurns, error: Exception | None = None) -> None:
    with turns.survived():
        if error is not None:
            raise error


def test_a_database_that_is_away_is_one_line_and_its_return_another(caplog: pytest.LogCaptureFixture) -> None:
    turns = FailedTurns("pager")
    with caplog.at_level(logging.INFO):
        for error in (None, REFUSED, REFUSED, REFUSED, None, None):
            turn(turns, error)
    said = "connection failed: connection refused; Is the server running on that host?"
    assert [record.getMessage() for record in caplog.records] == [
        f"pager: the database does not answer ({said}); trying again until it does",
        "pager: the database answers again",
    ]
    assert not any(record.exc_info for record in caplog.records)
    assert counted(turns, FailedTurns("nightly-test")) == {"failed_turns_pager": 3, "failed_turns_nightly_test": 0}


@pytest.mark.parametrize("fault", [KeyError("x"), ProgrammingError("SELEC 1", {}, Exception("syntax error"))])
def test_a_fault_of_the_program_is_told_in_full_and_survived(
    fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    turns = FailedTurns("watcher")
    turn(turns, fault)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert turns.count == 1


def test_a_cause_is_one_line_of_bounded_length() -> None:
    assert cause(OSError(28, "No space left on device")) == "[Errno 28] No space left on device"
    assert cause(ValueError()) == "ValueError"
    assert len(cause(OperationalError("SELECT 1", {}, Exception("x" * 5000)))) == 300
