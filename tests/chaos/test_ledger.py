"""Notes survive their process: what was begun and not answered is in doubt, whoever comes after."""

import json
from contextlib import ExitStack

import pytest

from chaos.ledger import GRACE_SECONDS, Journal, Roster, read_ops, write_seed


@pytest.fixture
def folder(tmp_path):
    write_seed(tmp_path, [])
    return tmp_path


@pytest.fixture
def begin(folder):
    """Begins a process's notes."""
    with ExitStack() as stack:

        def journal(name: str = "writer-1") -> Journal:
            begun = Journal(folder, name)
            stack.callback(begun.close)
            return begun

        yield journal


def test_an_answered_call_has_its_times_and_its_answer(folder, begin):
    journal = begin()
    name = journal.intent("enqueue", "job", "acme", by="x")
    journal.answer(name, created=True)
    (op,) = read_ops(folder)
    assert (op.kind, op.job, op.workspace, op.facts, op.answer) == (
        "enqueue",
        "job",
        "acme",
        {"by": "x"},
        {"created": True},
    )
    assert op.start <= op.end == op.latest
    assert not op.in_doubt


def test_a_call_whose_process_was_killed_is_in_doubt_for_a_while(folder, begin):
    begin().intent("enqueue", "job", "acme")
    journal = begin()
    journal.answer(journal.intent("enqueue", "other", "acme"), created=True)
    lost, answered = read_ops(folder)
    assert lost.in_doubt
    assert lost.start < lost.latest <= answered.start + GRACE_SECONDS


def test_a_call_that_was_told_nothing_is_in_doubt(folder, begin):
    journal = begin()
    journal.doubt(journal.intent("delete", "job", "acme"), "ConnectionError")
    (op,) = read_ops(folder)
    assert op.in_doubt


def test_half_a_line_of_a_killed_process_hides_nothing_of_its_successor(folder, begin):
    begin().intent("enqueue", "job", "acme")
    with (folder / "writer-1.ops").open("ab") as file:
        file.write(json.dumps({"i": "cut", "k": "enqueue"}).encode()[:-5])
    journal = begin()
    journal.answer(journal.intent("enqueue", "other", "acme"), created=True)
    assert [(op.job, op.in_doubt) for op in read_ops(folder)] == [("job", True), ("other", False)]


def test_everyone_knows_what_anyone_was_about_to_make(folder, begin):
    roster = Roster(folder)
    begin().intent("enqueue", "job", "acme")
    begin("reader-1").intent("see", "unknown", "acme")
    roster.refresh()
    assert roster.workspaces == {"job": "acme"}
