"""Each fault is called by its name, and nothing right is called a fault."""

from __future__ import annotations

from dataclasses import replace

import pytest

from demo.audit import Pair, judge_pair
from demo.ledger import ANNOUNCED, DELETED, Known
from demo.verdicts import (
    DOUBLED,
    EXPIRY_SLACK_MS,
    FOREIGN,
    LOST,
    PARTIAL,
    REVIVED,
    STALE,
    Seen,
    judge,
    judge_walk,
    may_be_absent,
)
from demo.wild import fingerprint

KNOWN = Known("ws", "running")
SEEN = Seen("j", "ws", "running", "")
NOW = 1_000_000.0


@pytest.mark.parametrize(
    "seen",
    [SEEN, replace(SEEN, status="completed", mark="m"), replace(SEEN, status="failed"), replace(SEEN, owner="ws")],
)
def test_newer_than_acknowledged_is_right(seen: Seen) -> None:
    assert judge(KNOWN, seen, "ws", NOW) is None


@pytest.mark.parametrize(
    ("known", "seen", "kind"),
    [
        (KNOWN, replace(SEEN, workspace="other"), FOREIGN),
        (replace(KNOWN, workspace="other"), SEEN, FOREIGN),
        (KNOWN, replace(SEEN, owner="other"), FOREIGN),
        (KNOWN, replace(SEEN, missing=("params",)), PARTIAL),
        (replace(KNOWN, deletion=DELETED), SEEN, REVIVED),
        (replace(KNOWN, expires_at_ms=int(NOW - EXPIRY_SLACK_MS - 1)), SEEN, REVIVED),
        (KNOWN, replace(SEEN, status="pending"), STALE),
        (Known("ws", "completed", "m"), replace(SEEN, status="completed", mark="n"), STALE),
        (Known("ws", "error"), SEEN, STALE),
    ],
)
def test_a_fault_is_called_by_its_name(known: Known, seen: Seen, kind: str) -> None:
    fault = judge(known, seen, "ws", NOW)
    assert fault is not None
    assert fault.kind == kind


@pytest.mark.parametrize(
    ("known", "right"),
    [
        (KNOWN, False),
        (replace(KNOWN, deletion=ANNOUNCED), True),
        (replace(KNOWN, deletion=DELETED), True),
        (replace(KNOWN, expires_at_ms=int(NOW) - 1), True),
        (replace(KNOWN, expires_at_ms=int(NOW) + 10_000), False),
    ],
)
def test_an_absence_is_right_only_after_a_deletion_or_the_expiry(known: Known, right: bool) -> None:
    assert may_be_absent(known, NOW) is right


def test_a_walk_shows_each_job_that_stays_exactly_once() -> None:
    before = {"a": KNOWN, "b": KNOWN, "c": KNOWN}
    after = {**before, "c": replace(KNOWN, deletion=ANNOUNCED)}
    assert judge_walk(before, after, ["a", "b", "new"], NOW) == []
    kinds = [(fault.kind, fault.job_id) for fault in judge_walk(before, after, ["a", "a"], NOW)]
    assert kinds == [(DOUBLED, "a"), (LOST, "b")]


def test_a_walk_need_not_show_what_was_deleted_before() -> None:
    gone = {"a": replace(KNOWN, deletion=DELETED)}
    assert judge_walk(gone, gone, [], NOW) == []


HASH = {b"workspace_id": b"ws", b"status": b"completed", b"result": b'{"mark": "m"}'}
PAIR = Pair(HASH, -1, HASH, -1)
DONE = Known("ws", "completed", "m", touched=True)


@pytest.mark.parametrize(
    ("known", "pair", "kind"),
    [
        (DONE, PAIR, None),
        (DONE, replace(PAIR, copy={}), LOST),
        (DONE, replace(PAIR, legacy={}), LOST),
        (DONE, replace(PAIR, copy={b"status": b"completed"}), PARTIAL),
        (DONE, replace(PAIR, copy=HASH | {b"workspace_id": b"other"}), FOREIGN),
        (DONE, replace(PAIR, copy=HASH | {b"extra": b""}), PARTIAL),
        (DONE, replace(PAIR, copy_expiry=5), PARTIAL),
        (replace(DONE, status="failed"), PAIR, STALE),
        (replace(DONE, mark="other"), PAIR, STALE),
        (replace(DONE, deletion=DELETED), PAIR, REVIVED),
        (replace(DONE, deletion=DELETED), Pair({}, -2, {}, -2), None),
        (replace(DONE, expires_at_ms=int(NOW - EXPIRY_SLACK_MS - 1)), PAIR, REVIVED),
        (replace(DONE, expires_at_ms=int(NOW)), Pair({}, -2, {}, -2), None),
        (Known("ws", "completed", print_=fingerprint(HASH)), PAIR, None),
        (Known("ws", "completed", print_="another"), PAIR, PARTIAL),
        (Known("ws", "completed", print_="another", touched=True), PAIR, None),
    ],
)
def test_the_audit_judges_what_the_store_holds(known: Known, pair: Pair, kind: str | None) -> None:
    fault = judge_pair("j", known, pair, NOW)
    assert (fault and fault.kind) == kind
