"""What the machine has found, as it is at its shortest."""

from collections.abc import Iterator

import pytest

from relay_jobs import Stage
from tests.engines.world import Rests, World, copies, fill
from tests.servers import Server, real_server

__all__ = ["real_server"]


@pytest.fixture
def world(real_server: Server) -> Iterator[World]:
    """A server in ``dual_write``, moved there as an operator would."""
    world = World(real_server.main, Rests())
    world.migration.set_stage(Stage.LEGACY)
    world.migration.set_stage(Stage.DUAL_WRITE)
    yield world
    world.end()


def test_a_pass_that_was_divided_anew_is_not_complete_by_its_former_partitions(world: World) -> None:
    """A run wakes after another has opened the pass with fewer partitions: its own quarter is not the whole."""
    ids = fill(world.client, 200)
    opened = world.open("one", partitions=4, batch=5)
    walk = world.walk(opened)
    next(walk)
    world.migration.release("one")
    world.open("two", partitions=1, batch=5, restart=True)
    world.migration.release("two")
    list(walk)
    world.close(opened)
    assert world.migration.summary(opened).complete
    assert copies(world.client) == {name.encode() for name in ids}
