"""A move of a stage is made on the server process that its gate was judged on, or it is judged again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relay_jobs import Stage
from relay_jobs.errors import GateRefused
from relay_jobs.ladder import Ladder
from tests.engines.restarts import Restartable
from tests.engines.world import Rests, World
from tests.store.records import put_legacy, scoped, set_stage

pytestmark = pytest.mark.redis


class Forgetful(Restartable):
    """Comes back as it was when it was saved last."""

    def forget(self) -> None:
        """Kill it and start it again."""
        self.stop()
        self._process = self._start()


@pytest.fixture(params=["valkey", "redis7"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Forgetful]:
    started = Forgetful(request.param, tmp_path)
    yield started
    started.stop()


@pytest.fixture
def world(server: Forgetful) -> Iterator[World]:
    """In new_first, with one job that has no copy yet, saved so."""
    with server.client() as client:
        world = World(client, Rests())
        set_stage(client, Stage.NEW_FIRST)
        put_legacy(client, "a")
        client.save()
        yield world


@pytest.fixture
def forgotten(server: Forgetful, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The server comes back as it was saved between the first judgement of a move and the move; who has moved."""
    moves, make = [], Ladder.move

    def move(ladder: Ladder, scope: str, *given: Any, **options: Any) -> bool:
        if not moves:
            server.forget()
        moves.append(scope)
        return make(ladder, scope, *given, **options)

    monkeypatch.setattr(Ladder, "move", move)
    return moves


def test_a_move_up_that_reaches_a_server_that_is_back_older_is_judged_by_that_one(world, forgotten):
    world.backfill()
    assert world.verify().verified
    with pytest.raises(GateRefused) as refused:
        world.migration.set_stage(Stage.NEW_ONLY)
    assert "no complete pass is recorded" in str(refused.value)
    assert forgotten == ["*"]
    assert not world.client.exists(scoped("a"))
    assert world.migration.ladder.recorded().of("*") is Stage.NEW_FIRST


def test_a_move_down_is_made_on_whatever_server_is_there(world, forgotten):
    world.migration.rollback()
    assert forgotten == ["*"]
    assert world.migration.ladder.recorded().of("*") is Stage.DUAL_WRITE
