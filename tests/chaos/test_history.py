"""The judgement finds every planted fault, and calls nothing a fault that has an explanation."""

import pytest

from chaos.faults import DOUBLED, FOREIGN, LOST, PARTIAL, REVIVED, STALE
from chaos.judgement import unmatched
from chaos.ledger import Seeded
from tests.chaos.notes import BY, JOB, LEASE, WS, Story, recovery, sight


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_life_without_mishap_is_explained(story):
    story.see(None)
    story.enqueue()
    story.see("pending")
    story.claim()
    story.call("heartbeat", {}, claim="worker-1.1.0", lease=1.5)
    story.finish()
    story.finish()
    story.see("completed", "m")
    story.delete()
    story.see(None)
    story.delete(deleted=False)
    assert story.faults() == []


def test_a_job_that_is_gone_without_a_delete_is_lost(story):
    story.enqueue()
    story.see(None)
    assert story.kinds() == [LOST]


def test_a_deleted_job_that_is_seen_is_revived(story):
    story.enqueue()
    story.delete()
    story.see("pending")
    assert story.kinds() == [REVIVED]


def test_a_deleted_job_may_be_made_anew_but_not_as_it_was(story):
    story.enqueue()
    story.delete()
    story.enqueue(by="writer-1.1.9")
    story.see("pending")
    assert story.kinds() == [STALE]


def test_an_expired_job_that_is_seen_is_revived(story):
    story.enqueue(ttl=2)
    story.at += 5
    story.see("pending")
    assert story.kinds() == [REVIVED]


def test_a_job_with_an_expiry_is_there_until_then(story):
    story.enqueue(ttl=60)
    story.see(None)
    assert story.kinds() == [LOST]


def test_a_status_that_goes_back_is_stale(story):
    story.enqueue()
    story.claim()
    story.finish()
    story.see("running")
    assert story.kinds() == [STALE]


def test_an_outcome_that_nobody_has_written_is_stale(story):
    story.enqueue()
    story.claim()
    story.finish()
    story.see("completed", "another")
    assert story.kinds() == [STALE]


def test_a_job_is_finished_once(story):
    story.enqueue()
    story.claim()
    story.at += 2
    story.claim("worker-2.1.0")
    story.finish(mark="late")
    assert story.kinds() == [DOUBLED]


def test_a_worker_that_comes_too_late_is_refused(story):
    story.enqueue()
    story.claim()
    story.at += 2
    story.claim("worker-2.1.0")
    story.finish({"error": "ClaimLost"}, mark="late")
    story.finish(claim="worker-2.1.0")
    assert story.faults() == []


def test_a_job_is_given_to_one_worker_as_long_as_its_lease_lasts(story):
    story.enqueue()
    story.claim(start=20.0, end=20.1)
    story.claim("worker-2.1.0", start=20.2, end=20.3)
    assert story.kinds() == [DOUBLED]


def test_a_finished_job_is_not_given_out_again(story):
    story.enqueue()
    story.claim()
    story.finish()
    story.at += 5
    story.claim("worker-2.1.0")
    assert story.kinds() == [DOUBLED]


def test_a_request_makes_one_job(story):
    story.enqueue(request=True)
    story.enqueue(request=True)
    assert story.kinds() == [DOUBLED]


def test_a_repeated_request_is_known(story):
    story.enqueue(request=True)
    story.enqueue({"error": "JobExists"}, request=True)
    assert story.kinds() == [STALE]


def test_a_repeated_request_does_not_bring_its_deleted_job_back(story):
    story.enqueue(request=True)
    story.delete()
    story.enqueue(request=True, created=False)
    story.see(None)
    assert story.faults() == []


def test_a_call_in_doubt_has_happened_or_not(story):
    story.enqueue_in_doubt()
    story.see("pending")
    assert story.faults() == []
    other = Story()
    other.enqueue_in_doubt()
    other.see(None)
    assert other.faults() == []


def test_a_call_in_doubt_does_not_happen_and_then_not(story):
    story.enqueue_in_doubt()
    story.see("pending")
    story.see(None)
    assert story.kinds() == [LOST]


def test_a_call_in_doubt_does_not_happen_ever_so_late(story):
    story.enqueue()
    story.claim()
    story.finish_in_doubt()
    story.at += 10
    story.see("running")
    story.see("completed", "m")
    assert story.kinds() == [STALE]


def test_a_delete_in_doubt_does_not_leave_half_a_job(story):
    story.enqueue()
    story.delete(deleted=None)
    story.see(None)
    story.see("pending")
    assert story.kinds() == [REVIVED]


def test_calls_at_the_same_time_may_have_either_order(story):
    story.enqueue()
    story.delete(start=12.0, end=14.0)
    story.see("pending", start=12.5, end=13.5)
    story.see(None, start=12.6, end=12.9)
    assert story.kinds() == []


def test_a_foreign_call_that_succeeds_is_told(story):
    story.enqueue()
    story.call("foreign", {"done": True}, what="read")
    story.call("foreign", {"error": "ForeignJob"}, what="update")
    assert story.kinds() == [FOREIGN]


def test_a_job_that_says_another_workspace_is_foreign(story):
    story.enqueue()
    story.call("see", {"saw": sight("pending", workspace="globex")})
    assert story.kinds() == [FOREIGN]


def test_a_job_that_is_not_whole_is_partial(story):
    story.enqueue()
    story.call("see", {"saw": sight("pending", missing="params")})
    assert story.kinds() == [PARTIAL]


def test_what_was_there_before_is_known(story):
    row = Seeded(JOB, WS, "completed", "old", "digest", None)
    story.call("see", {"saw": sight("completed", "old", by="seed")})
    assert story.faults(seeds=(row,)) == []
    story.see(None)
    assert story.kinds(seeds=(row,)) == [LOST]


def test_what_the_server_has_lost_is_not_our_loss(story):
    story.enqueue(start=10.0, end=10.1)
    story.see(None, start=12.0, end=12.1)
    assert story.kinds(recovery(9.5, 11.0)) == []


def test_what_the_server_has_kept_must_be_there(story):
    story.enqueue(start=10.0, end=10.1)
    story.see(None, start=12.0, end=12.1)
    assert story.kinds(recovery(10.5, 11.0)) == [LOST]


def test_what_the_server_has_lost_does_not_come_back(story):
    story.enqueue(start=10.0, end=10.1)
    story.see(None, start=12.0, end=12.1)
    story.see("pending", start=13.0, end=13.1)
    assert story.kinds(recovery(9.5, 11.0)) == [REVIVED]


def test_a_server_goes_back_to_one_moment_and_not_to_another(story):
    story.enqueue(start=8.0, end=8.1)
    story.claim(start=10.0, end=10.1)
    story.finish(start=10.2, end=10.3)
    story.see("pending", start=12.0, end=12.1)
    assert story.kinds(recovery(9.0, 11.0)) == []
    assert story.kinds(recovery(10.15, 11.0)) == [STALE]


def test_an_answer_of_the_server_that_is_gone_may_be_read_late(story):
    story.enqueue(start=10.9, end=11.5)
    story.see(None, start=12.0, end=12.1)
    assert story.kinds(recovery(10.5, 11.0)) == []


def claim_in_doubt(story: Story, start: float) -> None:
    story.call("claim", None, job="", name=f"claim {start}", lease=LEASE, start=start)


def test_a_job_may_be_taken_by_a_claim_in_doubt(story):
    story.enqueue()
    story.see("running")
    assert story.kinds() == [STALE]
    claim_in_doubt(story, 11.0)
    assert story.kinds() == []


def test_a_job_may_have_been_taken_long_before_anyone_looks(story):
    story.enqueue()
    claim_in_doubt(story, 15.0)
    story.see("running", start=40.0)
    assert story.kinds() == []


def test_a_claim_in_doubt_takes_one_job(story):
    for number in range(2):
        name = f"job-{number}"
        story.call("enqueue", {"id": name, "created": True}, job=name, by=BY, request=False, ttl=None, start=10.0)
        story.call("see", {"saw": sight("running")._replace(job=name)}, job=name, start=20.0)
    claim_in_doubt(story, 19.0)
    assert story.kinds() == [DOUBLED]
    claim_in_doubt(story, 19.1)
    assert story.kinds() == []


def test_as_many_as_possible_get_one_of_their_own():
    assert unmatched({"a": [0, 1], "b": [0], "c": [1]}) in (["a"], ["b"], ["c"])
    assert unmatched({"a": [0, 1], "b": [0], "c": [1, 2]}) == []
