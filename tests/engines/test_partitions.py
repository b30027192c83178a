"""A keyspace divided by the low bits of its cursors is covered as a whole, also while its table grows and shrinks."""

import pytest
import redis

from relay_jobs.errors import UsageError
from relay_jobs.scanning import partition_bits, partitionable
from tests.engines.world import World, acting, copies, fill
from tests.store.records import legacy, scoped


@pytest.mark.parametrize("bits", range(7))
@pytest.mark.parametrize("count", [0, 3, 700])
def test_all_partitions_together_reach_every_key(world: World, bits: int, count: int) -> None:
    """Also if there are more partitions than keys."""
    names = fill(world.client, count)
    summary = world.backfill(partitions=2**bits, batch=20)
    assert copies(world.client) == {name.encode() for name in names}
    assert summary.total.migrated == count
    assert summary.complete


def test_all_partitions_reach_every_key_of_a_table_with_cursors_of_many_digits(world: World) -> None:
    """Among so many other keys, most cursors are beyond 1000, where 64 is no divisor of a decimal place any more."""
    names = fill(world.client, 300)
    _noise(world.client, 0, 30_000)
    world.backfill(partitions=64, batch=100)
    assert copies(world.client) == {name.encode() for name in names}


@pytest.mark.parametrize("bits", [1, 3, 6])
def test_all_partitions_reach_every_key_that_is_there_throughout_while_the_table_grows(world: World, bits: int) -> None:
    """Live inserts rehash the table under the walk, several times."""
    names = fill(world.client, 300)
    opened = world.open(partitions=2**bits, batch=10)
    for number in range(opened.partitions):
        grow = 4000 >> bits
        acting(world.walk(opened, number), lambda number=number, grow=grow: _noise(world.client, number, grow))
    world.close(opened)
    assert copies(world.client) >= {name.encode() for name in names}


@pytest.mark.parametrize("bits", [1, 3, 6])
def test_all_partitions_reach_every_key_that_is_there_throughout_while_the_table_shrinks(
    world: World, bits: int
) -> None:
    """Deletes do the same in the other direction."""
    names = fill(world.client, 300)
    _noise(world.client, 0, 5000)
    opened = world.open(partitions=2**bits, batch=10)
    for number in range(opened.partitions):
        drop = range(number * (5000 >> bits), (number + 1) * (5000 >> bits))
        acting(world.walk(opened, number), lambda drop=drop: _drop(world.client, drop))
    world.close(opened)
    assert copies(world.client) >= {name.encode() for name in names}


def test_partitions_may_be_walked_in_turns(world: World) -> None:
    """As by several tasks at once, while jobs come and go."""
    names = fill(world.client, 600)
    opened = world.open(partitions=8, batch=10)
    walks = [world.walk(opened, number, f"task/{number}") for number in range(8)]
    turn = 0
    while walks:
        turn += 1
        walks = [walk for walk in walks if next(walk, None)]
        fill(world.client, 30, prefix=f"live-{turn}")
        world.client.delete(legacy(names[turn]), scoped(names[turn]))
    world.close(opened)
    assert copies(world.client) >= {name.encode() for name in names if world.client.exists(legacy(name))}


def test_a_pass_that_was_divided_anew_is_void_for_its_former_partitions(world: World) -> None:
    """A task of four partitions that is still out does not complete a pass of one with the quarter that it walks."""
    names = fill(world.client, 400)
    former = world.open(partitions=4)
    world.open(partitions=1, restart=True)
    list(world.walk(former, 0))
    world.close(former)
    assert world.checkpoint()[b"bits"] == b"2"
    assert copies(world.client) == {name.encode() for name in names}


def test_each_partition_is_walked_for_a_part_of_the_whole(world: World) -> None:
    """Its reports go from 0 to 1, and the parts hold about the same number of keys."""
    fill(world.client, 2000)
    opened = world.open(partitions=4, batch=10)
    for number in range(4):
        reports = list(world.walk(opened, number))
        fractions = [report.fraction for report in reports]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0
        assert 350 < sum(report.counts.scanned for report in reports) < 650


@pytest.mark.parametrize("partitions", [0, 3, 6, 512, -1])
def test_another_number_of_partitions_is_refused(world: World, partitions: int) -> None:
    """A power of two from 1 to 256."""
    with pytest.raises(UsageError, match="partitions"):
        world.open(partitions=partitions)
    assert world.holder() is None


def test_every_power_of_two_is_a_number_of_partitions() -> None:
    """Up to 256."""
    assert [partition_bits(2**bits) for bits in range(9)] == list(range(9))


@pytest.mark.parametrize("count", [0, 1, 5, 1000])
def test_this_servers_cursors_can_be_divided(client: redis.Redis, count: int) -> None:
    """The probe holds for tables of any size."""
    fill(client, count)
    assert all(partitionable(client, 2**bits) for bits in range(9))


def test_cursors_that_cannot_be_divided_get_one_partition(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the probe fails, the pass is one walk."""
    fill(world.client, 50)
    monkeypatch.setattr("relay_jobs.scanning._reversed", lambda cursor: -cursor)
    opened = world.open(partitions=8)
    assert opened.partitions == 1


def _noise(client: redis.Redis, start: int, count: int) -> None:
    pipe = client.pipeline(transaction=False)
    for number in range(count):
        pipe.set(f"noise:{start * count + number}", "x")
    pipe.execute()


def _drop(client: redis.Redis, numbers: range) -> None:
    client.delete(*(f"noise:{number}" for number in numbers), "noise:none")
