"""The pace of a walk: sized by the server's time, slowed down by what tenants feel and by what the server says."""

from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_jobs.load import Load
from relay_jobs.pace import (
    BUSY,
    FLOOR,
    GROWTH,
    KEYS_FIRST,
    KEYS_FULL_SPEED,
    KEYS_LEAST,
    KEYS_MOST,
    KNOWN_SECONDS,
    OVERRUN,
    REST_MOST,
    STEP_PART,
    WINDOW,
    WINDOW_SECONDS,
    Pace,
)

# Small enough for a step to have room below its first size.
BUDGET = 0.00025
# What a step may take of it, and the keys that it has at least.
STEP = BUDGET * STEP_PART
LEAST = round(BUDGET * KEYS_LEAST)
CALM = Load(busy=0.0, memory=0.5, replica_seconds=0.0)


def steps(pace: Pace, number: int, *, used: float = STEP, waited: float = 0.0) -> Pace:
    """So many steps alike, each as far behind the one before as it must be."""
    for _ in range(number):
        pace.stepped(used, waited, max(pace.spacing, used + waited))
    return pace


def window(pace: Pace, waited: float = 0.0, *, walks: float = 1.0) -> Pace:
    """As many steps as the share is decided on, of which every eighth waits; all walks take so much more."""
    seconds, number = 0.0, 0
    while seconds < WINDOW_SECONDS or number < WINDOW:
        delay = waited if number % 8 == 0 else 0.0
        apart = max(pace.spacing, STEP + delay)
        pace.stepped(STEP, delay, apart, None if walks == 1 else number * walks * STEP)
        seconds, number = seconds + apart, number + 1
    return pace


def of_the_most() -> Pace:
    """A pace whose steps have grown as far as they may."""
    return steps(Pace(BUDGET), 100 * WINDOW, used=1e-9)


def looked(load: Load, pace: Pace | None = None) -> Pace:
    """A pace that has just had this look, a second after the one before."""
    pace = pace or Pace(BUDGET)
    pace.looked(load, 1.0)
    return pace


def first(pace: Pace | None = None) -> Pace:
    """A pace whose first steps waited for nothing, so that it knows the way to the server."""
    return steps(pace or Pace(BUDGET), WINDOW)


def tried(delay: float, anyway: float, *, walks: float = 1.0) -> Pace:
    """A pace that has seen its steps wait so long, and so long while it was on trial."""
    return window(window(first(), delay), anyway, walks=walks)


def felt() -> Pace:
    """A pace that has found out that it makes commands wait too long."""
    return tried(1.5 * BUDGET, 0.0)


def test_a_step_grows_by_half_at_most_in_ten_steps() -> None:
    """However short the steps were; the first size is kept until ten of them are known."""
    pace = Pace(BUDGET)
    assert steps(pace, WINDOW - 1, used=1e-6).keys == KEYS_FIRST
    assert steps(pace, 1, used=1e-6).keys == round(KEYS_FIRST * GROWTH)


def test_a_size_that_fits_its_time_is_kept() -> None:
    """Steps that take what they may are neither grown nor shrunk."""
    assert steps(Pace(BUDGET), 20 * WINDOW).keys == KEYS_FIRST


def test_a_step_that_is_too_long_shrinks() -> None:
    """Twice the time: at once by a third, the most that ten steps take away; and down to where it gains no more."""
    assert steps(Pace(BUDGET), WINDOW, used=2 * STEP).keys == round(KEYS_FIRST / GROWTH)
    assert steps(Pace(BUDGET), 100 * WINDOW, used=2 * STEP).keys == LEAST


@pytest.mark.parametrize(
    ("budget", "least"), [(0.00001, 1), (0.0001, 2), (0.0005, 8), (0.001, KEYS_FIRST), (1.0, KEYS_FIRST)]
)
def test_the_least_step_is_by_the_budget(budget: float, least: int) -> None:
    """Who wants tenants to wait for less gets smaller steps; of one key at least, and of the first size at most."""
    assert steps(Pace(budget), 100 * WINDOW, used=budget).keys == least
    assert steps(Pace(budget), 100, used=1.0).keys == least


def test_a_step_never_outgrows_the_most() -> None:
    """An idle server with small jobs."""
    assert of_the_most().keys == KEYS_MOST


def test_the_ninth_of_ten_steps_counts() -> None:
    """One step in ten may be an accident; two are not."""
    pace = steps(Pace(BUDGET), WINDOW - 1, used=STEP / 2)
    assert steps(pace, 1, used=OVERRUN * STEP).keys > KEYS_FIRST
    pace = steps(Pace(BUDGET), WINDOW - 2, used=STEP / 2)
    assert steps(pace, 2, used=OVERRUN * STEP).keys < KEYS_FIRST


def test_the_size_goes_half_of_the_way_at_a_time() -> None:
    """Ten steps like more than they say: a size that followed each ten of them would not come to rest."""
    assert steps(Pace(BUDGET), WINDOW, used=STEP * 1.44).keys == round(KEYS_FIRST / 1.2)


def test_the_least_size_grows_as_any_other() -> None:
    """In parts of a key: rounded at each decision, it would stay what it is for good."""
    pace = steps(Pace(BUDGET), 100 * WINDOW, used=2 * STEP)
    assert steps(pace, 10 * WINDOW, used=STEP / 1.1).keys > LEAST + 2


def test_a_fivefold_overrun_cuts_to_a_tenth_at_once() -> None:
    """Not after ten steps: large jobs come in a row."""
    pace = of_the_most()
    assert steps(pace, 1, used=OVERRUN * STEP * 1.01).keys == KEYS_MOST // 10
    assert steps(pace, 1, used=OVERRUN * STEP * 1.01).keys == KEYS_MOST // 100
    assert steps(pace, 1, used=OVERRUN * STEP * 1.01).keys == LEAST


def test_an_overrun_that_is_less_waits_for_the_other_steps() -> None:
    """Up to fivefold, ten of them decide."""
    assert steps(Pace(BUDGET), 1, used=OVERRUN * STEP).keys == KEYS_FIRST


def test_after_a_cut_the_size_grows_again() -> None:
    """Once the large jobs are behind it."""
    pace = steps(Pace(BUDGET), 2, used=1.0)
    assert pace.keys == LEAST
    assert steps(pace, 100 * WINDOW, used=STEP / 2).keys > KEYS_FIRST


def test_a_cut_is_taken_back_when_the_next_step_fits() -> None:
    """A machine's own hiccup is no large job; two in a row are taken for what they look like."""
    pace = steps(of_the_most(), 1, used=1.0)
    assert steps(pace, 1, used=1.1 * STEP).keys == KEYS_MOST // 10
    assert steps(pace, 1).keys == KEYS_MOST
    pace = steps(of_the_most(), 2, used=1.0)
    assert steps(pace, 3).keys == KEYS_MOST // 10


def test_a_cut_that_was_long_ago_is_not_taken_back() -> None:
    """The size has found its own way since; it would grow by more than half."""
    pace = steps(of_the_most(), 1, used=1.0)
    steps(pace, WINDOW, used=1.1 * STEP)
    assert steps(pace, 1).keys == round(KEYS_MOST / 10 / 1.1**0.5)


@pytest.mark.parametrize("before", range(WINDOW))
def test_a_cut_is_taken_back_whichever_of_ten_steps_it_was(before: int) -> None:
    """Ten steps are looked at together; their end is nothing special."""
    pace = steps(steps(of_the_most(), before), 1, used=1.0)
    assert pace.keys == KEYS_MOST // 10
    assert steps(pace, 1).keys == KEYS_MOST


def test_a_cut_is_taken_back_once_in_ten_steps() -> None:
    """Jobs that fit one by one and not ten at a time are no hiccup."""
    pace = of_the_most()
    sizes = [steps(pace, 1, used=1.0 if pace.keys == KEYS_MOST else STEP).keys for _ in range(WINDOW - 1)]
    assert sizes.count(KEYS_MOST) == 1, sizes


def test_a_delay_is_tried_for_a_moment() -> None:
    """Commands that wait longer than the budget: it takes a tenth until it knows why, and says so."""
    pace = window(first(), 1.5 * BUDGET)
    assert pace.share == pytest.approx(BUSY / 10)
    assert pace.held_by == "a trial at a tenth of the speed, whether this walk makes commands wait: 0.4 ms"


def test_a_delay_that_goes_with_the_walk_halves_its_share() -> None:
    """Nothing is waited for while it takes a tenth: it was the walk."""
    pace = felt()
    assert pace.share == pytest.approx(BUSY / 2)
    assert pace.held_by == "what the tenants feel: commands wait 0.4 ms"


def test_what_is_waited_for_anyway_takes_nothing_of_the_share() -> None:
    """Commands wait as long while the walk takes a tenth: for others."""
    pace = tried(4 * BUDGET, 4 * BUDGET)
    assert (pace.share, pace.held_by) == (BUSY, "")
    assert (window(pace, 7.5 * BUDGET).share, pace.held_by) == (BUSY, "")


@pytest.mark.parametrize(("anyway", "allowed"), [(4 * BUDGET, 8 * BUDGET), (0.5 * BUDGET, 1.5 * BUDGET)])
def test_commands_may_wait_twice_as_long_as_anyway_or_longer_by_the_budget(anyway: float, allowed: float) -> None:
    """Whichever is more."""
    assert tried(0.98 * allowed, anyway).share == BUSY
    assert tried(1.02 * allowed, anyway).share == pytest.approx(BUSY / 2)


def test_what_is_waited_for_longer_than_one_knew_is_tried_again() -> None:
    """Something has changed, and it may be others again."""
    pace = tried(4 * BUDGET, 4 * BUDGET)
    assert window(pace, 8.5 * BUDGET).share == pytest.approx(BUSY / 10)
    assert window(pace, 8.5 * BUDGET).share == BUSY


def test_each_trial_halves_the_share_once_more() -> None:
    """As long as it makes commands wait."""
    pace = felt()
    assert window(window(pace, 1.5 * BUDGET)).share == pytest.approx(BUSY / 4)


def test_what_was_known_long_ago_is_tried_again() -> None:
    """Others do not go on for ever as they did."""
    pace = tried(4 * BUDGET, 4 * BUDGET)
    known_for = next(number for number in range(100) if window(pace, 6 * BUDGET).share < BUSY) * WINDOW_SECONDS
    assert known_for == pytest.approx(KNOWN_SECONDS, abs=1.5 * WINDOW_SECONDS)


def test_a_long_trial_is_remembered_for_longer() -> None:
    """Where steps are long a trial is, too: it shall not be most of the time."""
    long = 0.05
    pace, trying = Pace(BUDGET, batch=100), 0
    for number in range(4_000):
        pace.stepped(long, 9 * BUDGET if number % 4 == 0 else 0.0, max(pace.spacing, long))
        trying += pace.share < BUSY
    assert 0 < trying < 4_000 / 6


def test_a_pause_is_no_trial() -> None:
    """A walk takes as much behind it as before: what its steps wait for there may be its doing."""
    pace = Pace(BUDGET)
    pace.stepped(STEP, 0.0, 60.0)
    steps(pace, WINDOW - 1, waited=3 * BUDGET)
    assert pace.share == pytest.approx(BUSY / 10)
    assert window(pace).share == pytest.approx(BUSY / 2)


def test_a_trial_at_the_floor_counts() -> None:
    """A server that is as good as full is where others make everybody wait."""
    pace = looked(Load(busy=0.85), first())
    share = pace.share
    assert window(window(pace, 5 * BUDGET), 5 * BUDGET).share == pytest.approx(share)
    assert window(pace, 5 * BUDGET).share == pytest.approx(share)


def test_what_waited_before_a_look_at_an_idle_server_is_forgotten() -> None:
    """It decides nothing once others are at work again."""
    pace = steps(first(), WINDOW, waited=9 * BUDGET)
    looked(Load(busy=0.4), looked(CALM, pace))
    assert window(pace).held_by == ""


def test_what_is_no_step_is_rested_for_by_the_share() -> None:
    """And it is no work of others."""
    pace = Pace(BUDGET, share=0.25)
    assert pace.worked(0.1) == pytest.approx(0.3)
    assert looked(Load(busy=0.1), pace).share == pytest.approx(BUSY)
    assert Pace(None).worked(0.1) == 0


def test_a_burst_of_the_tenants_is_not_felt() -> None:
    """They come in bursts: some steps in a row wait, and of all in that time they are few."""
    pace = steps(first(), WINDOW, waited=4 * BUDGET)
    assert (pace.share, pace.held_by) == (BUSY, "")
    assert (window(pace).share, pace.held_by) == (BUSY, "")


@pytest.mark.parametrize(("walks", "share"), [(3.0, BUSY), (4.0, BUSY / 2)])
def test_a_trial_says_nothing_while_other_walks_take_much(walks: float, share: float) -> None:
    """What they make commands wait is the walks' doing as well; up to a third of the time it does not count."""
    assert tried(3 * BUDGET, 3 * BUDGET, walks=walks).share == pytest.approx(share)


def test_a_walk_that_takes_little_always_knows() -> None:
    """Who rests for a rate is never on trial."""
    pace = Pace(BUDGET)
    pace.stepped(STEP, 0.0, 0.0)
    for _ in range(5 * WINDOW):
        pace.stepped(STEP, 9 * BUDGET, 0.05)
        assert (pace.share, pace.held_by) == (BUSY, "")


def taken(delay: Callable[[float], float]) -> float:
    """Part of its time that a walk takes of a server in twenty seconds, whose others use three tenths of it.

    Every eighth step waits as long as ``delay`` says of the part that the walk takes just then.
    """
    pace, passed, used, seen = looked(Load(busy=0.3), first()), 0.0, 0.0, (0.0, 0.0)
    for number in count():
        waited = delay(pace.share) if number % 8 == 0 else 0.0
        apart = max(pace.spacing, STEP + waited)
        pace.stepped(STEP, waited, apart)
        if int(passed + apart) > int(passed):
            elapsed = passed + apart - seen[0]
            pace.looked(Load(busy=0.3 + (used + STEP - seen[1]) / elapsed), elapsed)
            seen = passed + apart, used + STEP
        passed, used = passed + apart, used + STEP
        if passed > 20:
            break
    return used / passed


def test_beside_others_that_make_everybody_wait_a_walk_takes_what_they_leave() -> None:
    """Trials cost it a tenth or so."""
    unhindered = taken(lambda _: 0.0)
    assert unhindered == pytest.approx(BUSY - 0.3, rel=0.05)
    assert taken(lambda _: 3 * BUDGET) > 0.6 * unhindered


@pytest.mark.parametrize("budgets", [6, 12])
def test_a_walk_that_makes_others_wait_takes_as_much_as_they_bear(budgets: int) -> None:
    """Commands wait so many budgets at its full share: it takes what makes them wait for one or so."""
    assert 0.5 < taken(lambda share: budgets * BUDGET * share / BUSY) * budgets / BUSY < 2


def test_a_delay_within_the_budget_leaves_the_share() -> None:
    """Between half of it and all of it nothing changes."""
    pace = window(first(), 0.7 * BUDGET)
    assert (pace.share, pace.held_by) == (BUSY, "")


def test_the_way_to_the_server_is_no_delay() -> None:
    """A connection with 20 ms there and back is not a server under load."""
    pace = Pace(BUDGET)
    for _ in range(10 * WINDOW):
        assert (steps(pace, 1, used=0.020, waited=0.020).share, pace.held_by) == (BUSY, "")


def test_a_way_that_has_become_longer_is_learned() -> None:
    """After a move to another network it is not slowed down for good."""
    pace = steps(Pace(BUDGET), WINDOW, waited=0.010)
    assert pace.queued(0.012) == pytest.approx(0.002)
    steps(pace, 400, waited=0.012)
    assert pace.queued(0.012) == 0


@pytest.mark.parametrize(("used", "waited"), [(3600.0, -3600.0), (-3600.0, 3600.0)])
def test_a_clock_that_was_set_during_a_step_has_measured_nothing(used: float, waited: float) -> None:
    """The server's clock jumped an hour, either way: neither the size nor the share is of it, then or later."""
    pace = steps(steps(Pace(BUDGET), 3), 1, used=used, waited=waited)
    assert (pace.keys, pace.share, pace.spacing) == (KEYS_FIRST, BUSY, pytest.approx(STEP / BUSY))
    steps(pace, 50 * WINDOW, waited=0.3 * BUDGET)
    assert (pace.keys, pace.share, pace.held_by) == (KEYS_FIRST, BUSY, "")
    assert pace.spacing == pytest.approx(STEP / BUSY)


def test_the_share_recovers_by_half() -> None:
    """When nothing is felt any more; the reason goes when all is given back."""
    pace = felt()
    assert window(pace).share == pytest.approx(BUSY / 2 * GROWTH)
    assert pace.held_by
    assert window(pace).share == BUSY
    assert pace.held_by == ""


def test_the_share_never_falls_below_the_floor() -> None:
    """However much is felt, a walk still moves."""
    pace = first()
    for _ in range(20):
        window(pace, 100 * BUDGET, walks=50.0)
        assert pace.share >= FLOOR
    assert pace.share == FLOOR


def test_steps_are_spaced_by_the_share() -> None:
    """From the beginning of one to that of the next; before the first it is taken for one that fits."""
    assert Pace(BUDGET).spacing == pytest.approx(STEP / BUSY)
    assert steps(Pace(BUDGET), 3).spacing == pytest.approx(STEP / BUSY)
    assert steps(looked(Load(busy=1.0)), 3).spacing == pytest.approx(STEP / FLOOR)
    assert steps(Pace(BUDGET, share=0.5), 3).spacing == pytest.approx(STEP / 0.5)


def test_one_step_that_took_long_is_no_longer_rest() -> None:
    """A share is kept by the mean: the machine's hiccups make no walk slower than the server's time asks for."""
    pace = steps(Pace(BUDGET), 8, used=STEP / 2)
    assert steps(pace, 1, used=2 * STEP).spacing == pytest.approx(6 / 9 * STEP / BUSY)


def walking(pace: Pace, used: float, others: float) -> Pace:
    """Nine steps, between any two of which the other walks take so much of the server."""
    for number in range(WINDOW - 1):
        pace.stepped(used, 0.0, used + others, walked=7.0 + number * (used + others))
    return pace


def test_steps_of_several_walks_are_apart_by_their_ninth_and_more() -> None:
    """None of them has a client between that would leave a tenant's command a gap."""
    used = STEP / 2
    assert walking(Pace(BUDGET), used, others=0.0).spacing == pytest.approx(used / BUSY)
    assert walking(Pace(BUDGET), used, others=used).spacing == pytest.approx(1.3 * used)
    pace = walking(Pace(BUDGET), used, others=used)
    pace.stepped(2 * STEP, 0.0, STEP, walked=8.0)
    assert pace.spacing >= 1.3 * used


def test_a_walk_that_is_left_alone_rests_by_its_share_again() -> None:
    """As soon as nothing but its own steps has been walked between two of them."""
    pace = walking(Pace(BUDGET), STEP / 2, others=STEP)
    pace.stepped(STEP / 2, 0.0, STEP, walked=9.0)
    pace.stepped(STEP / 2, 0.0, STEP, walked=9.0 + STEP / 2)
    assert pace.spacing == pytest.approx(STEP / 2 / BUSY)


def test_a_batch_set_by_hand_is_not_resized_and_not_cut_short() -> None:
    """It is still spaced, and still gives way."""
    pace = Pace(BUDGET, batch=300)
    steps(pace, 3 * WINDOW, used=20 * STEP)
    assert (pace.keys, pace.longest) == (300, None)
    assert pace.spacing >= 2 * STEP / BUSY
    assert looked(Load(memory=0.99), pace).hibernating


def test_a_step_of_its_own_size_ends_before_its_budget_does() -> None:
    """A tenant's command that comes in at its beginning waits for less than the budget."""
    longest = Pace(BUDGET).longest
    assert longest is not None
    assert STEP < longest < BUDGET


def test_full_speed_gives_way_to_nobody() -> None:
    """No rests, no hibernation, large steps."""
    pace = Pace(None)
    steps(pace, 3 * WINDOW, used=1.0, waited=1.0)
    looked(Load(busy=1.0, memory=1.0, replica_seconds=99.0, blocked=9_999), pace)
    assert not pace.polite
    assert (pace.keys, pace.spacing, pace.longest) == (KEYS_FULL_SPEED, 0.0, None)
    assert (pace.hibernating, pace.held_by) == (False, "")
    assert Pace(None, batch=7).keys == 7


def test_memory_slows_down_from_85_per_cent_and_stops_at_95() -> None:
    """Slower the nearer it is; the words say how far it is."""
    shares = [looked(Load(memory=used)).share for used in (0.5, 0.85, 0.88, 0.92, 0.949)]
    assert shares[:2] == [BUSY, BUSY]
    assert shares == sorted(shares, reverse=True)
    assert shares[2] > shares[3] > shares[4] >= FLOOR
    soft, critical = looked(Load(memory=0.90)), looked(Load(memory=0.96))
    assert not soft.hibernating
    assert critical.hibernating
    assert soft.held_by == "memory, 90% of maxmemory (slower from 85%, none from 95% back to 90%)"
    assert critical.held_by == "memory, 96% of maxmemory (slower from 85%, none from 95% back to 90%)"


def test_what_hibernates_goes_on_when_half_of_the_way_back_is_made() -> None:
    """It does not go to sleep and wake with every key that is written."""
    pace = looked(Load(memory=0.96))
    assert looked(Load(memory=0.94), pace).hibernating
    assert not looked(Load(memory=0.89), pace).hibernating
    assert not looked(Load(memory=0.94), pace).hibernating
    assert looked(Load(memory=0.95), pace).hibernating


def test_a_replica_slows_down_from_two_seconds_and_stops_at_ten() -> None:
    """With its own words."""
    assert looked(Load(replica_seconds=2.0)).share == BUSY
    slow = looked(Load(replica_seconds=6.0))
    assert slow.share == pytest.approx(BUSY / 2)
    assert slow.held_by == "a replica, 6 s behind (slower from 2 s, none from 10 s back to 6 s)"
    assert looked(Load(replica_seconds=10.0)).hibernating


def test_a_crowd_of_blocked_clients_slows_down_but_never_stops() -> None:
    """Workers that wait for a job are usual, and say nothing."""
    usual = looked(Load(blocked=500, blocked_usually=500))
    assert (usual.share, usual.held_by) == (BUSY, "")
    crowd = looked(Load(blocked=1_060, blocked_usually=500))
    assert crowd.share == pytest.approx(BUSY / 2)
    assert crowd.held_by == "blocked clients, 1,060 where 500 are usual"
    jam = looked(Load(blocked=99_999, blocked_usually=1))
    assert (jam.share, jam.hibernating) == (FLOOR, False)


def test_other_work_of_the_server_is_left_its_room() -> None:
    """What is left is the walk's; its own work is not counted as others'."""
    assert looked(Load(busy=0.3)).share == pytest.approx(BUSY - 0.3)
    assert looked(Load(busy=1.0)).share == FLOOR
    busy = looked(Load(busy=0.6))
    assert busy.held_by == "the server's other work, 60% of its time"
    alone = steps(Pace(BUDGET), 1_000, used=STEP)
    assert looked(Load(busy=1_000 * STEP), alone).share == pytest.approx(BUSY)


def test_walks_beside_each_other_are_no_other_work() -> None:
    """What they have all taken is known to each; a look takes nothing of it for tenants'."""
    pace = Pace(BUDGET)
    for number in range(1, 101):
        pace.stepped(STEP, 0.0, 0.008, walked=number * 0.008)
    assert looked(Load(busy=0.85), pace).share == pytest.approx(BUSY - (0.85 - 99 * 0.008 - STEP))
    # Their account may begin anew meanwhile.
    pace.stepped(STEP, 0.0, 0.001, walked=0.001)
    pace.stepped(STEP, 0.0, 0.001, walked=0.002)
    assert looked(Load(busy=0.5), pace).share == pytest.approx(BUSY - 0.499)


def test_a_wait_at_an_idle_server_calls_for_another_look() -> None:
    """It may be the network, or a load that has come since; the look is the end of it."""
    pace = steps(looked(CALM), WINDOW)
    assert not steps(pace, 1, waited=BUDGET).startled
    assert steps(pace, 1, waited=1.1 * BUDGET).startled
    assert steps(pace, 1).startled
    assert (pace.share, looked(CALM, pace).startled) == (BUSY, False)


def test_a_wait_at_a_busy_server_is_no_surprise() -> None:
    """It is felt as it is."""
    assert not steps(steps(looked(Load(busy=0.5)), WINDOW), WINDOW, waited=2 * BUDGET).startled


def test_a_look_gives_back_what_a_look_has_taken() -> None:
    """The share grows back as after a felt delay, and what held it is forgotten at once."""
    pace = looked(Load(busy=0.8))
    assert looked(Load(busy=0.3), pace).held_by == ""
    assert pace.share == pytest.approx(BUSY - 0.8)
    for _ in range(6):
        window(pace)
    assert pace.share == pytest.approx(BUSY - 0.3)


@pytest.mark.parametrize("held", [felt(), window(first(), 1.5 * BUDGET), looked(Load(busy=1.0))])
def test_a_look_at_an_idle_server_gives_all_of_the_share_back_at_once(held: Pace) -> None:
    """Whatever it was that commands seemed to wait for, it was not the server, or it has gone."""
    assert held.share < BUSY
    assert (looked(CALM, held).share, held.held_by) == (BUSY, "")


def test_the_narrowest_limit_is_the_one_that_is_named() -> None:
    """A server may be short of several things."""
    assert looked(Load(busy=0.5, memory=0.94, replica_seconds=3.0)).held_by.startswith("memory")
    assert looked(Load(busy=0.5, memory=0.86, replica_seconds=9.0)).held_by.startswith("a replica")
    assert looked(Load(busy=0.88, memory=0.86, replica_seconds=3.0)).held_by.startswith("the server's other work")


def test_what_a_server_does_not_say_holds_nothing_up() -> None:
    """Unknown is not full."""
    pace = looked(Load())
    assert (pace.share, pace.hibernating, pace.held_by) == (BUSY, False, "")


seconds = st.floats(-1, 10)
loads = st.builds(
    Load,
    busy=st.none() | st.floats(0, 2),
    memory=st.none() | st.floats(0, 2),
    replica_seconds=st.none() | st.floats(-5, 1e6),
    blocked=st.integers(0, 10**6),
    blocked_usually=st.integers(0, 10**6),
)
events = st.lists(st.tuples(seconds, seconds, st.floats(0, 10)) | loads, max_size=60)


def after(pace: Pace, happened: list[tuple[float, float, float] | Load]) -> Pace:
    """A pace that has taken all of this in."""
    for event in happened:
        if isinstance(event, Load):
            pace.looked(event, 1.0)
        else:
            pace.stepped(*event)
    return pace


@given(events, st.floats(1e-5, 1))
def test_whatever_happens_a_walk_moves_and_stays_within_its_bounds(
    happened: list[tuple[float, float, float] | Load], budget: float
) -> None:
    """Size, share and spacing, for any steps and any looks."""
    pace = after(Pace(budget), happened)
    assert min(KEYS_FIRST, max(1, round(budget * KEYS_LEAST))) <= pace.keys <= KEYS_MOST
    assert FLOOR <= pace.share <= BUSY
    assert 0 <= pace.spacing <= REST_MOST
    assert 0 <= pace.worked(1000.0) <= REST_MOST
    assert pace.held_by or not pace.hibernating


@given(events)
def test_whatever_happened_an_idle_server_is_used_well_again(happened: list[tuple[float, float, float] | Load]) -> None:
    """Nothing is remembered for good."""
    pace = after(Pace(BUDGET), happened)
    for _ in range(300):
        steps(pace, WINDOW, used=STEP / 2, waited=0.0)
        looked(CALM, pace)
    assert (pace.keys, pace.share, pace.held_by) == (KEYS_MOST, BUSY, "")


@given(events)
def test_full_speed_stays_full_speed(happened: list[tuple[float, float, float] | Load]) -> None:
    """Whatever the server says."""
    pace = after(Pace(None), happened)
    assert (pace.keys, pace.spacing, pace.hibernating, pace.held_by) == (KEYS_FULL_SPEED, 0.0, False, "")
