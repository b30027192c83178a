"""Steps timed by clocks and looked after once a second; what a server says of itself as a load."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import redis

from relay_jobs.load import Load
from relay_jobs.pace import Pace
from relay_jobs.scripting import Script
from relay_jobs.stepping import LOOK_SECONDS, Looker, Steps

MB = 1_000_000
CPU = ("used_cpu_user_main_thread", "used_cpu_sys_main_thread")


@dataclass
class Told:
    """A server that answers ``INFO`` with what it is given, and nothing else."""

    answers: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0

    def info(self, *_sections: str) -> dict[str, Any]:
        """The next answer; the last one again and again."""
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1] if self.answers else {}


def looks(*answers: dict[str, Any], every: float = 1.0) -> list[Load]:
    """What is made of these answers, one a second."""
    looker = Looker(cast("redis.Redis", Told(list(answers))))
    return [looker.look(100 + number * every) for number in range(len(answers))]


def cpu(user: float, system: float = 0.0) -> dict[str, Any]:
    """Seconds of the main thread."""
    return dict(zip(CPU, (user, system), strict=True))


def replicas(offset: int, *behind: dict[str, Any]) -> dict[str, Any]:
    """A primary that has written so much, and its replicas."""
    named = {f"slave{number}": {"state": "online", **replica} for number, replica in enumerate(behind)}
    return {"master_repl_offset": offset, "connected_slaves": len(behind), **named}


def test_what_a_server_does_not_say_is_not_known() -> None:
    """Not one field, now or before."""
    assert looks({}, {}) == [Load(), Load()]


@pytest.mark.parametrize("name", CPU)
def test_half_of_the_main_threads_time_is_not_known(name: str) -> None:
    """Its own and the kernel's work make it up together."""
    assert [load.busy for load in looks({name: 1.0}, {name: 2.0})] == [None, None]


def test_the_load_is_the_main_threads_time_between_two_looks() -> None:
    """Both parts of it; the first look has nothing before it."""
    loads = looks(cpu(10.0, 5.0), cpu(10.25, 5.125), cpu(10.25, 5.125))
    assert [load.busy for load in loads] == [None, pytest.approx(0.375), 0.0]
    assert looks(cpu(10), cpu(11), every=4)[1].busy == pytest.approx(0.25)


def test_a_server_that_has_begun_anew_is_not_less_than_idle() -> None:
    """Its counters begin at zero again."""
    assert looks(cpu(1000.0), cpu(0.5))[1].busy == 0.0


def test_memory_is_a_part_of_maxmemory() -> None:
    """Without a limit there is nothing to be short of."""
    (load,) = looks({"used_memory": 90, "maxmemory": 100})
    assert load.memory == pytest.approx(0.9)
    for said in ({"used_memory": 90, "maxmemory": 0}, {"used_memory": 90}, {"maxmemory": 100}):
        assert looks(said)[0].memory is None


def test_the_usual_number_of_blocked_clients_is_the_median_of_the_looks_before() -> None:
    """The first look is its own; one crowd does not become usual."""
    blocked = [10, 12, 500, 11, 13]
    loads = looks(*({"blocked_clients": number} for number in blocked))
    assert [load.blocked for load in loads] == blocked
    assert [load.blocked_usually for load in loads] == [10, 10, 11, 12, 12]


def test_a_crowd_that_stays_becomes_usual() -> None:
    """More workers were started: after some time they are not held against the server."""
    loads = looks(*({"blocked_clients": number} for number in [10] * 20 + [300] * 70))
    assert loads[21].blocked_usually == 10
    assert loads[-1].blocked_usually == 300


def test_a_server_without_replicas_has_none_that_is_behind() -> None:
    """Whether it says so or not."""
    assert looks(replicas(10 * MB), {"master_repl_offset": 5})[1].replica_seconds is None
    assert looks(replicas(10 * MB))[0].replica_seconds is None


def test_a_replica_a_second_behind_by_its_own_telling_is_not_behind() -> None:
    """It tells its offset once a second, while more is written."""
    loads = looks(
        replicas(0, {"offset": 0, "lag": 0}),
        replicas(50 * MB, {"offset": 0, "lag": 1}),
        replicas(100 * MB, {"offset": 50 * MB, "lag": 1}),
    )
    assert [load.replica_seconds for load in loads[1:]] == [pytest.approx(0), pytest.approx(0)]


def test_a_replica_is_as_far_behind_as_its_bytes_take_to_write() -> None:
    """By how much is written a second; the slowest of them counts."""
    in_step, behind = {"offset": 500 * MB, "lag": 0}, {"offset": 200 * MB, "lag": 0}
    loads = looks(replicas(450 * MB, in_step), replicas(500 * MB, in_step, behind))
    assert loads[1].replica_seconds == pytest.approx(300 / 50 - 1)


def test_a_few_bytes_on_a_quiet_server_are_not_far_behind() -> None:
    """Where next to nothing is written, 200 kB are no hours."""
    quiet = replicas(1_000_000, {"offset": 800_000, "lag": 0})
    assert max(cast("float", load.replica_seconds) for load in looks(quiet, quiet)) <= 0


def test_a_replica_that_is_silent_is_behind_by_its_silence() -> None:
    """Whatever its offset was when it last spoke."""
    silent = replicas(5, {"offset": 5, "lag": 8})
    assert looks(silent)[0].replica_seconds == pytest.approx(7)


def test_a_replica_that_says_nothing_of_itself_is_not_known() -> None:
    """Neither a line that is missing nor one without its fields."""
    assert looks({"master_repl_offset": 5, "connected_slaves": 2})[0].replica_seconds is None
    assert cast("float", looks(replicas(5, {}))[0].replica_seconds) <= 0
    assert looks({"connected_slaves": 1, "slave0": "?"})[0].replica_seconds is None


@dataclass
class Clock:
    """Time that passes only where something takes it."""

    now: float = 0.0
    rests: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        """Seconds since the beginning."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Rest."""
        self.rests.append(seconds)
        self.now += seconds


@dataclass
class Timed:
    """A script that takes some of the server's time and some on the way."""

    clock: Clock
    used: float = 0.0005
    way: float = 0.0001
    ran: list[str] = field(default_factory=list)

    def timed(self, *_args: Any, **_options: Any) -> tuple[list[Any], float]:
        """With the server's time."""
        self.ran.append("timed")
        self.clock.now += self.used + self.way
        return [b"ok"], self.used

    def __call__(self, *_args: Any, **_options: Any) -> list[Any]:
        """Without."""
        self.ran.append("plain")
        return [b"ok"]


Stepping = tuple[Steps, Timed, Clock, Told]


def stepping(pace: Pace, *answers: dict[str, Any]) -> Stepping:
    """Steps on a clock that stands still by itself."""
    clock, server = Clock(), Told(list(answers))
    return Steps(cast("redis.Redis", server), pace, sleep=clock.sleep, clock=clock), Timed(clock), clock, server


def run(stepping: Stepping, number: int = 1, **options: float) -> None:
    """So many steps with their rests."""
    steps, script, _, _ = stepping
    for _ in range(number):
        assert steps.send(cast("Script", script), ()) == [b"ok"]
        steps.rest(**options)


def test_a_step_rests_until_the_next_ones_time() -> None:
    """Counted from its beginning: what it took itself is part of its time."""
    polite = stepping(Pace(0.001))
    run(polite)
    assert polite[2].rests == [] or max(polite[2].rests) < 0.0001
    slow = stepping(Pace(0.001, share=0.1))
    run(slow, 5)
    assert slow[2].rests == [pytest.approx(0.0005 / 0.1 - 0.0006)] * 5


def test_a_turn_counts_from_when_the_step_was_at_work() -> None:
    """A server that says "in so long" says it when it has come to the step: what that waited in line comes first."""
    waiting = stepping(Pace(0.001))
    run(waiting, 3, next_in=0.002)
    waiting[1].way += 0.0007
    run(waiting, next_in=0.002)
    assert waiting[2].rests == [pytest.approx(0.002 - 0.0006, abs=1e-6)] * 4


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_a_clock_that_was_set_meanwhile_makes_no_turn_longer(jump: float) -> None:
    """The server's clock jumped an hour during a step, either way."""
    jumped = stepping(Pace(0.001))
    run(jumped, 3, next_in=0.002)
    steps, script, clock, _ = jumped
    script.used += jump
    script.way -= jump
    run(jumped, next_in=0.002)
    assert max(clock.rests) <= 0.002
    assert steps.used < 0.001


def test_a_startled_walk_looks_again_soon() -> None:
    """A load that came right after a look is not met for a second at full pace; nor is a look taken with every step."""
    calm = stepping(Pace(0.001))
    run(calm, 5_000)
    startled = stepping(Pace(0.001))
    for _ in range(5_000):
        startled[0].pace.startled = True
        run(startled)
    seconds = startled[2]()
    assert seconds == pytest.approx(calm[2]()) == pytest.approx(3.0)
    assert (calm[3].asked, startled[3].asked) == (1 + 2, 1 + 14)


def test_what_a_step_waited_is_what_its_server_did_not_use() -> None:
    """Other commands before it, or a long way: felt when it becomes more than it was."""
    polite = stepping(Pace(0.001))

    def held(number: int) -> set[str]:
        reasons = set()
        for _ in range(number):
            run(polite)
            reasons.add(polite[0].pace.held_by)
        return reasons

    assert held(500) == {""}
    polite[1].way = 0.0011
    assert held(200) == {""}
    polite[1].way = 0.0016
    assert {reason[:33] for reason in held(200)} == {"", "a trial at a tenth of the speed, "}


def test_a_walk_that_rests_between_its_steps_takes_little() -> None:
    """For whatever it rests: what its commands wait for is no reason to rest more."""
    resting = stepping(Pace(0.001))
    run(resting, 100, at_least=0.02)
    resting[1].way = 0.0051
    for _ in range(100):
        run(resting, at_least=0.02)
        assert resting[0].pace.held_by == ""


def test_only_steps_count_for_how_much_a_walk_takes() -> None:
    """Between two of them it may ask for its turn, again and again."""
    asking = stepping(Pace(0.001))
    run(asking, 500)
    asking[1].way = 0.0016
    for _ in range(50):
        run(asking)
        for _ in range(30):
            asking[0].send(cast("Script", asking[1]), ())
        assert asking[0].pace.held_by == ""


def test_work_that_is_no_step_is_rested_for() -> None:
    """By the share, for what it took of the server; at full speed not at all."""
    for pace, rests in ((Pace(0.001, share=0.5), [pytest.approx(0.0005)]), (Pace(None), [])):
        steps, script, clock, _ = stepping(pace)
        assert steps.work(cast("Script", script), ()) == [b"ok"]
        assert clock.rests == rests


@pytest.mark.parametrize(("pace", "how"), [(Pace(0.001), "timed"), (Pace(None), "plain")])
def test_only_a_polite_walk_is_timed_and_looks(pace: Pace, how: str) -> None:
    """At full speed a step is one command, and nobody is asked."""
    some = stepping(pace)
    run(some, 3)
    assert some[1].ran == [how] * 3
    assert bool(some[3].asked) is pace.polite


def test_full_speed_rests_for_a_rate_only() -> None:
    """And never because of its pace."""
    fast = stepping(Pace(None))
    run(fast, 3)
    run(fast, 1, at_least=0.25)
    assert fast[2].rests == [0.25]


def test_the_longer_rest_is_taken() -> None:
    """Of the pace's and of the rate's."""
    slow = stepping(Pace(0.001, share=0.1))
    run(slow, 1, at_least=0.2)
    run(slow, 1, at_least=0.001)
    assert slow[2].rests == [0.2, pytest.approx(0.0044)]


def test_the_server_is_looked_at_once_a_second() -> None:
    """After the first step, and not with each of them."""
    polite = stepping(Pace(0.001))
    run(polite)
    assert polite[3].asked == 1
    while polite[2].now < 3.5:
        run(polite)
    assert polite[3].asked == 4


def test_hibernating_is_a_look_a_second_until_it_is_over() -> None:
    """Whoever hibernates asks again, and goes on when the server has room."""
    full, roomy = {"used_memory": 99, "maxmemory": 100}, {"used_memory": 10, "maxmemory": 100}
    polite = stepping(Pace(0.001), full, full, full, roomy)
    run(polite)
    steps, _, clock, server = polite
    clock.rests.clear()
    while steps.pace.hibernating:
        steps.hibernate()
    assert clock.rests == [LOOK_SECONDS] * 3
    assert server.asked == 4


def test_a_server_that_says_nothing_stops_nobody() -> None:
    """Neither a step nor a rest minds."""
    mute = stepping(Pace(0.001), {})
    run(mute, 50)
    assert (mute[0].pace.hibernating, mute[0].pace.held_by) == (False, "")


def test_a_spike_of_other_work_is_yielded_to_within_a_second() -> None:
    """From one look to the next; the room of others is what they were seen to need."""

    def busy(seconds: float) -> dict[str, Any]:
        return cpu(seconds)

    walk = stepping(Pace(0.001), busy(0.0), busy(0.9), busy(2.7))
    while walk[3].asked < 2:
        run(walk)
    calm = walk[0].pace.share
    while walk[3].asked < 3:
        run(walk)
    assert walk[0].pace.share < calm / 4
