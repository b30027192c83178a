"""A walk as a person reads it: what, how far, how fast, what was left and why."""

from itertools import pairwise

import pytest

from relay_jobs.narrate import Narrator, books_table, duration, sample_text, size, verdict_table
from relay_jobs.progress import BatchReport, Books, Phase, Sample
from relay_jobs.report import next_command
from relay_jobs.stages import Stage


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def batch(fraction, migrated=100, **facts):
    counts = Books(scanned=migrated + facts.get("invalid", 0), migrated=migrated, invalid=facts.get("invalid", 0))
    return BatchReport(Phase.BATCH, facts.get("partition", 0), facts.get("partitions", 1), counts, fraction)


def tell(narrator, *reports):
    return [line.text for report in reports for line in narrator.lines(report)]


def test_a_line_says_how_far_how_fast_how_long_and_what_was_left(clock):
    narrator = Narrator(clock)
    clock.now = 10
    said = tell(narrator, batch(0.25, 4990, invalid=10, partition=2, partitions=8))
    assert said == ["partition 3 of 8: 25% · 5,000 keys · 500/s · 30 s left · migrated 4,990, invalid 10"]


def test_a_walk_of_a_day_is_told_in_hundreds_of_lines_not_in_thousands(clock):
    narrator, said = Narrator(clock), []
    for second in range(0, 24 * 3600, 5):
        clock.now = second
        said += tell(narrator, batch(second / (24 * 3600)))
    assert 500 < len(said) < 1600


def test_lines_come_two_seconds_apart_and_after_five_percent(clock):
    narrator, times = Narrator(clock), []
    for tenth in range(1, 1001):
        clock.now = tenth / 10
        if tell(narrator, batch(tenth / 1000)):
            times.append(clock.now)
    gaps = [after - before for before, after in pairwise(times)]
    assert min(gaps) >= 2
    assert max(gaps) <= 5.1


def test_a_fast_walk_has_its_last_line_only(clock):
    narrator = Narrator(clock)
    clock.now = 0.5
    done = BatchReport(Phase.DONE, counts=Books(scanned=100, exists=100), fraction=1.0)
    assert tell(narrator, batch(0.5), done) == [
        "100% · 200 keys · 400/s · walked to its end in 0.5 s · migrated 100, exists 100"
    ]


def test_a_resumed_walk_is_as_fast_as_from_where_it_resumed(clock):
    narrator = Narrator(clock)
    assert tell(narrator, BatchReport(Phase.RESUMED, fraction=0.5, reason="an unfinished walk goes on")) == [
        "resumes at 50%: an unfinished walk goes on"
    ]
    clock.now = 10
    assert "30 s left" in tell(narrator, batch(0.625))[0]


def test_a_walk_that_starts_over_says_why_and_is_a_warning(clock):
    narrator = Narrator(clock)
    tell(narrator, batch(0.9))
    (line,) = narrator.lines(BatchReport(Phase.RESTARTED, reason="the server is another process"))
    assert (line.text, line.warning) == ("starts over: the server is another process", True)


def test_partitions_that_are_walked_one_after_the_other_are_told_each_for_itself(clock):
    narrator = Narrator(clock)
    clock.now = 10
    tell(narrator, batch(1.0, 5000, partition=0, partitions=8))
    clock.now = 10.5
    tell(narrator, batch(0.1, partition=5, partitions=8))
    clock.now = 20.5
    (said,) = tell(narrator, batch(0.5, 900, partition=5, partitions=8))
    assert said == "partition 6 of 8: 50% · 1,000 keys · 100/s · 10 s left · migrated 1,000"


def test_partitions_that_are_walked_together_are_told_as_one(clock):
    narrator = Narrator(clock, partitions=4)
    clock.now = 5
    tell(narrator, batch(1.0, partition=0, partitions=4))
    clock.now = 10
    assert "partition 2 of 4: 50% · 200 keys" in tell(narrator, batch(1.0, partition=1, partitions=4))[0]


def test_a_pause_is_said_once_with_who_and_why_and_so_is_its_end(clock):
    narrator = Narrator(clock)
    paused = BatchReport(Phase.PAUSED, reason="paused by ada since noon: deploy")
    assert tell(narrator, paused, paused, paused, batch(0.1)) == [
        "paused by ada since noon: deploy; 'relay-jobs resume' lets it go on",
        "goes on after the pause",
    ]


def test_what_holds_the_walk_back_is_named(clock):
    narrator = Narrator(clock)
    clock.now = 5
    said = tell(narrator, BatchReport(Phase.WAITING, reason="the rate limit of a pool slot"), batch(0.2))
    assert "held by the rate limit of a pool slot" in said[0]


def test_samples_are_ids_and_reasons_and_only_so_many(clock):
    narrator = Narrator(clock)
    many = tuple(Sample(f"job-{n}", "acme", "conflict", "status differs") for n in range(30))
    lines = list(narrator.lines(BatchReport(Phase.BATCH, samples=many)))
    assert all(line.warning for line in lines)
    assert lines[0].text == "conflict: job 'job-0' of workspace acme: status differs"
    assert lines[-1].text == "conflict: more of them; here they are only counted"
    assert len(lines) == 11


def test_an_id_cannot_forge_a_line():
    said = sample_text(Sample("x\nINFO all is well", None, "invalid", "bad_id"))
    assert said == r"invalid: job 'x\nINFO all is well': bad_id"


def test_books_are_a_table_with_the_whole_pass_beside_where_it_differs():
    step, total = (
        Books(scanned=12, migrated=10, exists=2).as_dict(),
        Books(scanned=1012, migrated=1010, exists=2).as_dict(),
    )
    assert books_table(step, step)[:3] == [
        "                        keys",
        "scanned                   12   keys examined",
        "migrated                  10   copied whole",
    ]
    assert books_table(step, total)[:2] == [
        "                   this step    whole pass",
        "scanned                   12         1,012   keys examined",
    ]


def test_a_verdict_is_a_table():
    assert verdict_table({"equal": 31_000, "missing": 2})[1:4] == [
        "equal                 31,000   both copies are the same, expiry included",
        "different                  0   the copies differ",
        "missing                    2   a legacy job without its workspace copy",
    ]


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (0.25, "0.2 s"), (59, "59 s"), (61, "1 min 01 s"), (3_720, "1 h 02 min")]
)
def test_spans_of_time(seconds, said):
    assert duration(seconds) == said


@pytest.mark.parametrize(("count", "said"), [(0, "0 bytes"), (2048, "2 KiB"), (5 * 1024**3, "5.0 GiB")])
def test_sizes(count, said):
    assert size(count) == said


@pytest.mark.parametrize(
    ("mode", "stage", "workspaces", "unacknowledged", "command"),
    [
        ("full", Stage.DUAL_WRITE, (), 0, "relay-jobs stage set new_first --legacy-writers-gone"),
        ("staged", Stage.NEW_FIRST, (), 0, "relay-jobs stage set new_only"),
        ("staged", Stage.NEW_FIRST, ("a", "b"), 0, "relay-jobs stage set new_only --workspace a && "
         "relay-jobs stage set new_only --workspace b"),
        ("full", Stage.NEW_FIRST, (), 2, "relay-jobs quarantine list, then relay-jobs quarantine ack --reason '...', "
         "then relay-jobs stage set new_only"),
        ("full", Stage.NEW_ONLY, (), 0, "nothing for now: let it soak; back at any time with "
         "relay-jobs stage rollback --all"),
        ("dry_run", Stage.DUAL_WRITE, ("a",), 0, "airflow dags trigger relay_backfill --conf "
         """'{"mode": "staged", "canary_workspaces": ["tiny"], "workspaces": ["a"]}'"""),
    ],
)  # fmt: skip
def test_a_report_ends_with_the_next_command(mode, stage, workspaces, unacknowledged, command):
    assert next_command(mode, stage, workspaces=workspaces, canary=["tiny"], unacknowledged=unacknowledged) == command


def test_the_next_run_is_given_the_limits_of_this_one():
    said = next_command(
        "dry_run", Stage.NEW_FIRST, workspaces=[], canary=["tiny"], unacknowledged=0, limits={"rps": 50}
    )
    assert said.endswith("""--conf '{"mode": "staged", "canary_workspaces": ["tiny"], "rps": 50}'""")


def test_a_server_without_a_job_has_no_next_run():
    said = next_command("dry_run", Stage.NEW_FIRST, workspaces=[], canary=[], unacknowledged=0)
    assert said == "nothing: the server holds no valid legacy job"
