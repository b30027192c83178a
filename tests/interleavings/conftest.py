from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import pytest

from tests.interleavings.schedules import Trace
from tests.interleavings.world import World, token
from tests.servers import Running, running

__all__ = ["running"]

COUNTED = pytest.StashKey[Counter[str]]()


# Where SCAN meets a key depends on the server's seed; Redis 7.0 has no setting for it.
STEADY = {"valkey": {"hash-seed": "steady"}}


@pytest.fixture(autouse=True)
def _steady_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uuid.uuid4", token)


@pytest.fixture(scope="session")
def valkey_world(running: Running) -> Iterator[World]:
    """Two actors on Valkey."""
    yield from _opened(running, "valkey", 2, ())


@pytest.fixture(scope="session")
def valkey_with_bystander(running: Running) -> Iterator[World]:
    """Two actors on Valkey, and a job that nobody touches."""
    yield from _opened(running, "valkey", 2, ("k",))


@pytest.fixture(scope="session")
def redis7_with_bystander(running: Running) -> Iterator[World]:
    """The same on Redis 7.0."""
    yield from _opened(running, "redis7", 2, ("k",))


@pytest.fixture(scope="session")
def crowd(running: Running) -> Iterator[World]:
    """Four actors on Valkey, and three jobs."""
    yield from _opened(running, "valkey", 4, ("k", "l"))


def _opened(running: Running, server: str, actors: int, bystanders: tuple[str, ...]) -> Iterator[World]:
    world = World.on(running.start(server, **STEADY.get(server, {})), actors, bystanders)
    yield world
    world.close()


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Callable[[Iterable[Trace]], None]]:
    """Runs an exploration to its end, and counts its schedules and commands for the end of the session."""
    counts = request.config.stash.setdefault(COUNTED, Counter())
    before = counts["schedules"]

    def count(traces: Iterable[Trace]) -> None:
        for trace in traces:
            counts["schedules"] += 1
            counts["commands"] += len(trace.choices)

    yield count
    assert counts["schedules"] > before, "no schedule was run"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    counts = config.stash.get(COUNTED, Counter())
    terminalreporter.write_line(f"interleavings: {counts['schedules']} schedules, {counts['commands']} commands")
