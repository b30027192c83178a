"""One short run on real processes: everything happens at least once, and everything agrees; and its certain end."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from chaos.schedule import KINDS

ROOT = Path(__file__).parents[2]
SECONDS, SEED = 12, 3

pytestmark = pytest.mark.redis


def start(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "chaos", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


@pytest.mark.timeout(420)
def test_a_short_run_agrees_about_everything():
    with start("--seconds", str(SECONDS), "--seed", str(SEED)) as run:
        try:
            output, _ = run.communicate(timeout=400)
        except subprocess.TimeoutExpired:
            run.terminate()
            raise
    assert run.returncode == 0, output
    (events,) = [line for line in output.splitlines() if line.startswith("events ")]
    assert [kind for kind in KINDS if f"{kind} 0" in events] == [], output


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_of_a_run_that_is_ended(signum):
    with start("--seconds", "60", "--seed", str(SEED)) as run:
        assert run.stdout is not None
        # The first line that tells a time, not a plan, is of a run with everything in it.
        while not re.match(r" +[\d.]+ s  ", run.stdout.readline()):
            assert run.poll() is None
        children = psutil.Process(run.pid).children(recursive=True)
        assert len(children) > 8
        os.kill(run.pid, signum)
        run.stdout.read()
        assert run.wait(30) == 128 + signum
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []


def test_what_a_killed_run_has_left_is_ended_by_the_next_one():
    with start("--seconds", "60", "--seed", str(SEED)) as run:
        assert run.stdout is not None
        while not re.match(r" +[\d.]+ s  ", run.stdout.readline()):
            assert run.poll() is None
        children = psutil.Process(run.pid).children(recursive=True)
        run.kill()
    with start("--seconds", "60", "--seed", str(SEED)) as run:
        assert run.stdout is not None
        run.stdout.readline()
        _, alive = psutil.wait_procs(children, timeout=20)
        run.terminate()
        run.stdout.read()
    assert alive == []
