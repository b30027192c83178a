"""The schedule comes from the seed alone, and leaves nothing out."""

import pytest

from chaos.schedule import BACKFILL, KILL, KINDS, PROMOTE, RESTART, VERIFIED, VERIFY, VICTIMS, schedule


def test_a_seed_gives_one_schedule():
    assert schedule(7, 60) == schedule(7, 60)
    assert schedule(7, 60) != schedule(8, 60)


@pytest.mark.parametrize("seed", range(50))
def test_every_kind_of_event_is_in_a_short_run(seed):
    assert {event.kind for event in schedule(seed, 12)} == set(KINDS)


@pytest.mark.parametrize("seed", range(50))
def test_a_long_run_kills_everyone_and_brings_the_server_back_in_each_moment(seed):
    events = schedule(seed, 120)
    assert {event.target for event in events if event.kind == KILL} == set(VICTIMS)
    moments = {(event.kind, event.moment) for event in events}
    assert moments >= {(kind, moment) for kind in (RESTART, PROMOTE) for moment in (BACKFILL, VERIFY, VERIFIED)}
