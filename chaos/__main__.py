"""`python -m chaos`: one run of chaos, and its verdict."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import time
from contextlib import ExitStack, suppress
from datetime import UTC, datetime

from chaos.conductor import Conductor
from chaos.processes import Processes
from chaos.proxy import Proxy
from chaos.report import report
from chaos.schedule import schedule
from chaos.world import ROOT, Run
from demo.processes import (
    Children,
    DemoError,
    Interrupted,
    end_leftovers,
    ignore_signals,
    only_one,
    raise_on_signals,
)

SESSIONS, LOCK = "sessions.json", "lock"


def parse(arguments: list[str]) -> Run:
    """The run that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long things go wrong")
    parser.add_argument("--seed", type=int, help="of everything that is drawn; default: a new one")
    parser.add_argument("--server", choices=("valkey", "redis"), default="valkey")
    given = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{seed}"
    return Run(seed, given.seconds, given.server, ROOT / name)


def perform(run: Run, conductor: Conductor) -> int:
    """The run from start to verdict; 0 if everything agrees."""
    events = schedule(run.seed, run.seconds)
    for event in events:
        say(f"  at {event.at:6.2f} s: {event}")
    conductor.start()
    conductor.go(events)
    say(f"{conductor.elapsed:6.2f} s  coming to rest")
    conductor.rest()
    conductor.prove()
    notes = conductor.judge()
    return report(conductor, notes)


def say(text: str) -> None:
    """Tell it at once, also where nobody watches a terminal."""
    print(text, flush=True)


def orchestrate(run: Run) -> int:
    """Make a run with everything that it needs, and end all of it; the exit code."""
    with ExitStack() as stack:
        # Last in, first out: a second Ctrl-C may not disturb the end.
        children, processes = Children(run.folder / SESSIONS), Processes()
        stack.callback(children.end)
        stack.callback(processes.end)
        conductor = Conductor(run, children, processes, stack.enter_context(Proxy(None, remembered=100)), say)
        stack.callback(conductor.servers.marker.end)
        stack.callback(ignore_signals)
        return perform(run, conductor)


def end_leftovers_of_others() -> None:
    """End what runs have left that were killed themselves."""
    for record in ROOT.glob(f"*/{SESSIONS}"):
        with suppress(DemoError), only_one(record.parent / LOCK):
            end_leftovers(record)


def main(arguments: list[str]) -> int:
    """Make one run and return its exit code."""
    run = parse(arguments)
    raise_on_signals()
    end_leftovers_of_others()
    for folder in (run.ledgers, run.logs, run.world.home.tmp):
        folder.mkdir(parents=True)
    (ROOT / ".gitignore").write_text("*\n")
    say(f"seed {run.seed}, {run.seconds:g} s, {run.server}: make chaos SECONDS={run.seconds:g} SEED={run.seed}")
    code, begun = 1, time.monotonic()
    try:
        with only_one(run.folder / LOCK):
            code = orchestrate(run)
    except DemoError as error:
        say(str(error))
    except Interrupted as interrupted:
        say(f"{interrupted}: ended")
        code = 128 + interrupted.signum
    if code == 1:
        say(f"notes and logs are in {run.folder}")
    else:
        shutil.rmtree(run.folder)
    say(f"{time.monotonic() - begun:.0f} s altogether")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
