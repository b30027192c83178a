"""`python -m demo` and `python -m demo up`."""

from __future__ import annotations

import argparse
import signal
import sys
import time

from demo.airflow import PASSWORD, USER
from demo.environment import Environment
from demo.processes import DemoError, Interrupted, only_one, raise_on_signals
from demo.report import Report
from demo.screen import Screen
from demo.steps import DAG, Walk
from demo.world import CANARY, World


def parse(arguments: list[str]) -> tuple[str, World]:
    """Return what to do, and in which world."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("walk", "up"), default="walk")
    parser.add_argument("--scale", type=float, default=1.0, help="number of jobs, times 30,000")
    parser.add_argument("--pace", type=float, default=1.0, help="rate of the traffic, times some 200 calls a second")
    parser.add_argument("--rps", type=int, default=12_000, help="keys a second that a backfill may examine")
    given = parser.parse_args(arguments)
    return given.what, World(scale=given.scale, pace=given.pace, rps=given.rps)


def climbed(env: Environment, report: Report) -> Walk:
    """Take the steps up to the backfill."""
    steps = Walk(env, report)
    steps.prepare()
    steps.record_legacy()
    steps.deploy()
    steps.write_both()
    steps.verify()
    steps.read_new_first()
    return steps


def walk(env: Environment, report: Report) -> int:
    """Take all steps; 0 if all was right."""
    steps = climbed(env, report)
    steps.there_and_back()
    steps.backfill()
    steps.read_new_only()
    steps.again()
    steps.close()
    for problem in report.problems:
        env.screen.bad(problem)
    if not report.problems:
        env.screen.good("All is right.")
    return 1 if report.problems else 0


def stay_up(env: Environment, report: Report) -> int:
    """Take the steps up to the backfill and leave that to a person, until Ctrl-C."""
    climbed(env, report)
    env.screen.section("6", f"{DAG} is yours")
    env.airflow_api(DAG).close()
    env.screen.good(f"Airflow: {env.ports.url}/dags/{DAG}  user {USER}, password {PASSWORD}")
    env.screen.say(f"trigger it with the canary workspaces {', '.join(CANARY)}")
    env.screen.say(f"the command line: REDIS_URL={env.redis_url} .venv/bin/relay-jobs status")
    env.screen.say("traffic goes on until Ctrl-C")
    while True:
        time.sleep(1)
        env.check()


def main(arguments: list[str]) -> int:
    """Run the demo and return its exit code."""
    what, world = parse(arguments)
    screen = Screen()
    world.home.root.mkdir(exist_ok=True)
    raise_on_signals()
    try:
        with only_one(world.home.root / "lock"):
            env = Environment.make(world, screen)
            try:
                return (stay_up if what == "up" else walk)(env, Report(screen))
            finally:
                screen.say("ending everything that was started")
                env.end()
    except DemoError as error:
        screen.bad(str(error))
        return 1
    except Interrupted as interrupted:
        screen.say(f"{interrupted}: ended")
        return 0 if what == "up" and interrupted.signum == signal.SIGINT else 128 + interrupted.signum


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
