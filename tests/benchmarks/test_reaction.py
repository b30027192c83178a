"""How fast a backfill gives way to a load, and comes back, is read from samples of its books."""

from benchmarks.spike import reaction


def samples(*rates):
    """Books sampled every 50 ms, from rates in keys a sample."""
    total, found = 0, [(0.0, 0)]
    for number, rate in enumerate(rates, 1):
        total += rate
        found.append((number * 0.05, total))
    return found


def test_it_has_fallen_once_its_rate_stays_nearer_to_what_it_is_under_the_load():
    books = samples(*[500] * 40, *[500] * 10, *[50] * 50, *[500] * 40)
    found = reaction(books, before=(0.0, 2.0), load=(2.0, 5.0), ended=7.0)
    assert (found["before"], found["under_load"], found["left_under_load"]) == (10_000, 1_000, 0.1)
    assert 0.5 <= found["seconds_to_fall"] <= 0.65
    assert found["seconds_to_come_back"] <= 0.15


def test_a_backfill_that_never_comes_back_has_no_such_time():
    books = samples(*[500] * 40, *[50] * 100)
    found = reaction(books, before=(0.0, 2.0), load=(2.0, 5.0), ended=7.0)
    assert found["seconds_to_come_back"] is None
