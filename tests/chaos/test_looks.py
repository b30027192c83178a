"""Both copies of a job at one instant, and complete list walks: planted faults are found, and none is invented."""

import pytest

from chaos.faults import DOUBLED, LOST, PARTIAL, UNEQUAL
from chaos.ledger import Seeded
from tests.chaos.notes import JOB, WS, Story, copy, recovery, sight

PENDING, DONE = copy("pending"), copy("completed", "m")


@pytest.fixture
def story() -> Story:
    """A job that was made while both schemas were written."""
    story = Story()
    story.look("dual_write", None, None)
    story.enqueue()
    return story


def test_equal_copies_are_right(story):
    story.look("dual_write", PENDING, PENDING)
    story.look("new_only", PENDING, PENDING)
    assert story.faults() == []


def test_a_job_that_was_made_under_dual_write_is_in_both_schemas(story):
    story.look("dual_write", PENDING, None)
    assert story.kinds() == [UNEQUAL]


def test_copies_that_expire_at_different_times_are_unequal(story):
    story.look("dual_write", PENDING, copy("pending", expires=1_000))
    assert story.kinds() == [UNEQUAL]


def test_a_job_of_before_may_be_without_a_copy_until_nothing_falls_back_to_its_job():
    row = Seeded(JOB, WS, "pending", "", "digest", None)
    old = copy("pending", by="seed")
    story = Story()
    story.look("new_first", old, None)
    assert story.faults(seeds=(row,)) == []
    story.look("new_only", old, None)
    assert story.kinds(seeds=(row,)) == [LOST, UNEQUAL]


def test_copies_that_differ_from_the_time_before_are_repaired_before_anyone_reads_them():
    row = Seeded(JOB, WS, "completed", "m", "digest", None)
    old, stale = copy("completed", "m", by="seed"), copy("pending", by="seed")
    story = Story()
    story.look("dual_write", old, stale)
    assert story.faults(seeds=(row,)) == []
    story.look("new_first", old, old)
    story.look("dual_write", old, stale)
    assert story.kinds(seeds=(row,)) == [UNEQUAL]


def test_a_workspace_copy_without_its_job_is_unequal(story):
    story.look("new_first", PENDING, PENDING)
    story.delete()
    story.look("dual_write", None, PENDING)
    assert story.kinds() == [UNEQUAL]


def test_a_recovery_starts_the_count_afresh(story):
    story.look("dual_write", PENDING, None)
    # The server came back to a moment before dual-write, and dual-write was entered again with the same epoch.
    begun = story.ops[-1].start - 0.1
    assert story.kinds(recovery(begun - 0.3, begun - 0.2)) == []


def test_a_part_of_a_job_is_never_right(story):
    story.look("dual_write", PENDING, copy("completed", missing="workspace_id,params"))
    assert PARTIAL in story.kinds()


def test_the_stage_says_which_copy_is_read(story):
    story.claim()
    story.finish()
    story.look("legacy", DONE, PENDING)
    assert story.faults() == []
    story.look("new_only", DONE, PENDING)
    assert UNEQUAL in story.kinds()


def walk(story: Story, *pages: int) -> None:
    for number, shown in enumerate(pages):
        last = number == len(pages) - 1
        story.call("page", {"saw": [sight("pending")] * shown, "last": last}, job="", walk="walk", first=number == 0)


def test_a_walk_shows_what_is_there_throughout_once(story):
    walk(story, 0, 1, 0)
    assert story.faults() == []


def test_a_walk_that_leaves_a_job_out_has_lost_it(story):
    walk(story, 0, 0)
    assert story.kinds() == [LOST]


def test_a_walk_that_shows_a_job_twice_doubles_it(story):
    walk(story, 1, 1)
    assert story.kinds() == [DOUBLED]


def test_a_walk_over_a_job_that_is_being_deleted_may_leave_it_out(story):
    story.delete(start=story.at + 0.7, end=story.at + 4)
    story.at -= 0.5
    walk(story, 0, 0)
    assert story.faults() == []


def test_a_walk_across_a_recovery_proves_nothing(story):
    walk(story, 0, 0)
    end = story.ops[-1].end
    assert story.kinds(recovery(end - 1.2, end - 0.8)) == []
