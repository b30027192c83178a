"""A staged run through scheduler, REST API and task processes, read as an operator reads it."""

import pytest

from demo.rest import TaskState
from tests.airflow.runs import copies, seed
from tests.live.choice import on
from tests.live.runs import LiveRun
from tests.live.waiting import wait_until

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

JOBS = {"acme": 240, "globex": 60, "tiny": 5}
COUNT = sum(JOBS.values())
INVALID = 2


def in_order(lines: list[str], *starts: str) -> None:
    """Each of these is the beginning of a line, one after the other."""
    left = iter(lines)
    missed = [start for start in starts if not any(line.strip().startswith(start) for line in left)]
    assert not missed, "\n".join([f"not there, or not in this order: {missed}", *lines])


def progress(run: LiveRun) -> tuple[set[str | None], list[int]]:
    """Names of the walks while they run, and what the Storage tab of one of them shows, as it changes."""
    (first, *_) = run.wait_for("full.walk", "running")
    names: set[str | None] = set()
    shown: list[int] = []

    def look() -> bool:
        running = run.tasks("full.walk", "running")
        # Until the task's process has begun, Airflow has only its number.
        names.update(task.label for task in running if task.label != str(task.map_index))
        found = run.stored("full.walk", first.map_index)
        if found and found["scanned"] not in shown:
            shown.append(found["scanned"])
        return (len(shown) >= 3 and bool(names)) or not running

    wait_until(look, lambda: "the walk does not end")
    return names, shown


def books(lines: list[str]) -> dict[str, int]:
    """The table of books at the end of a log, by its first column."""
    rows = [line.split() for line in lines if line.startswith("  ")]
    return {row[0]: int(row[1].replace(",", "")) for row in rows if len(row) > 2 and row[1].replace(",", "").isdigit()}


@on("sqlite")
def test_a_staged_run(live, store):
    """From the trigger to the next command, with a person who approves."""
    seed(store, JOBS, invalid=INVALID)
    run = live.trigger(canary_workspaces=["tiny"], partitions=4, rps=60, batch=5)
    (waiting,) = run.wait_for("approval", "awaiting_input")
    wait_until(lambda: not live.working(), lambda: f"a process waits for the answer: {live.working()}")
    assert_asked(run, waiting)
    run.answer_whenever_asked("Approve")
    names, shown = progress(run)
    assert names
    assert names <= {f"partition {number} of 4" for number in range(1, 5)}
    assert len(shown) >= 2
    assert shown == sorted(shown)
    assert run.end() == "success", run.states()
    assert copies(store) == COUNT
    assert_told(run)
    assert_reported(run)


def assert_asked(run: LiveRun, waiting: TaskState) -> None:
    """The form has what there is to decide on."""
    question = run.api.question(run.dag_id, run.run_id, waiting)
    assert question["subject"] == "Begin the full backfill?"
    assert f"| To copy | {COUNT} jobs |" in question["body"]
    assert f"no_workspace {INVALID}" in question["body"]


def assert_told(run: LiveRun) -> None:
    """Each task's log says what it works on, what it did, and ends in a table or a verdict."""
    in_order(
        run.lines("preflight"), "store: ", "target: ", f"legacy jobs: {COUNT}", "acme", "globex", "tiny", "predicted"
    )
    in_order(run.lines("dry_run"), "dry run of all workspaces: nothing is written", "100% ", "What a backfill would do")
    assert books(run.lines("dry_run")) | {"scanned": COUNT + INVALID, "invalid": INVALID} == books(run.lines("dry_run"))
    in_order(run.lines("canary"), "store: ", "a new pass begins: tiny, in one walk", "100% ", "Books of tiny")
    assert books(run.lines("canary"))["migrated"] == JOBS["tiny"]
    in_order(run.lines("verify_canary"), "comparing both copies of every job of tiny", "Verification, in ", "equal")
    in_order(run.lines("full.open"), "store: ", "a new pass begins: all workspaces, in 4 partitions")
    for number in range(4):
        lines = run.lines("full.walk", number)
        in_order(lines, "store: ", f"partition {number + 1} of 4: 100% ")
        assert "walked to its end" in lines[-1]
    in_order(run.lines("full.close"), "store: ", "Books of all workspaces", "scanned", "migrated", "exists", "conflict")
    assert books(run.lines("full.close"))["migrated"] == COUNT - JOBS["tiny"]
    in_order(run.lines("verification"), "comparing both copies of every job of all workspaces", "Verification, in ")
    assert books(run.lines("verification"))["equal"] == COUNT


def assert_reported(run: LiveRun) -> None:
    """The report names who approved, sums up, and its last line is the next command."""
    lines = run.lines("report")
    steps = ("dry run: ", "canary: ", "verification of the canary: clean", "full backfill, ", "verification: clean")
    in_order(lines, "mode staged, triggered by admin, approved by admin", *steps)
    assert lines[-1].startswith("next: relay-jobs quarantine list, then ")
    assert lines[-1].endswith("relay-jobs stage set new_only")
