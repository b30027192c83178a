"""The ledger knows what was acknowledged, whatever the order in which files are read."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from demo.ledger import ANNOUNCED, API, DELETED, PRESENT, SEED, WORKER, Ledger, View

EVENTS = [
    ["b", "j", "ws", "pending", None, "print"],
    ["s", "j", "ws", "running", ""],
    ["s", "j", "ws", "completed", "m"],
    ["a", "j"],
    ["d", "j"],
]


@pytest.mark.parametrize("order", list(itertools.permutations(EVENTS[1:])))
def test_the_order_of_events_of_different_writers_does_not_matter(tmp_path: Path, order: list[list[object]]) -> None:
    view = View(tmp_path)
    for event in (EVENTS[0], *order):
        view.apply(event)
    known = view.jobs["j"]
    assert (known.workspace, known.status, known.mark, known.deletion) == ("ws", "completed", "m", DELETED)
    assert known.touched
    assert view.ids == ["j"]
    assert view.by_workspace == {"ws": ["j"]}


def test_an_update_may_be_read_before_the_job_itself(tmp_path: Path) -> None:
    view = View(tmp_path)
    view.apply(["s", "j", "ws", "running", ""])
    view.apply(["e", "j", "ws", 5, True])
    known = view.jobs["j"]
    assert (known.status, known.expires_at_ms, known.private) == ("running", 5, True)


def test_a_line_that_is_not_complete_waits(tmp_path: Path) -> None:
    view = View(tmp_path)
    path = tmp_path / f"{API}.jsonl"
    line = json.dumps(["e", "größe", "ws", None, False], ensure_ascii=False).encode() + b"\n"
    path.write_bytes(line[:9])
    view.refresh()
    assert not view.jobs
    path.write_bytes(line)
    view.refresh()
    assert view.ids == ["größe"]
    view.close()


def test_what_is_written_is_read_at_once(tmp_path: Path) -> None:
    view, api, worker, seed = View(tmp_path), Ledger(tmp_path, API), Ledger(tmp_path, WORKER), Ledger(tmp_path, SEED)
    seed.seeded([("old", "ws", "error", 9, "print")])
    api.enqueued("new", "ws")
    worker.moved("new", "ws", "failed", "m")
    api.deleting("old")
    view.refresh()
    assert view.jobs["new"].status == "failed"
    assert view.jobs["new"].deletion == PRESENT
    assert view.jobs["old"].deletion == ANNOUNCED
    api.deleted("old")
    view.refresh()
    assert view.jobs["old"].deletion == DELETED
    assert list(view.recent) == ["new", "new", "old", "old"] or set(view.recent) == {"new", "old"}
    for each in (api, worker, seed, view):
        each.close()
