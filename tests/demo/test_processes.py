"""Nothing that the demo starts outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo.processes import Children, DemoError, end_leftovers, only_one, sessions_members, uninterrupted
from demo.server import free_ports
from demo.world import CHECKOUT

STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setpgid(0, 0)  # as Airflow's supervisors do
print("ready", flush=True)
time.sleep(60)
"""


def start_stubborn(children: Children, folder: Path) -> int:
    log = folder / "log"
    child = children.start("stubborn", [sys.executable, "-c", STUBBORN], dict(os.environ), log)
    deadline = time.monotonic() + 20
    while log.read_text().count("ready") < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    return child.pid


def test_the_end_reaches_children_in_groups_of_their_own_that_ignore_sigterm(tmp_path: Path) -> None:
    children = Children(tmp_path / "record")
    session = start_stubborn(children, tmp_path)
    assert len(sessions_members({session})) == 2
    children.stop(["stubborn"], patience=0.2)
    assert sessions_members({session}) == []
    children.end()
    assert not children.record.exists()


def test_what_a_killed_demo_left_is_ended_by_the_next(tmp_path: Path) -> None:
    killed = Children(tmp_path / "record")
    session = start_stubborn(killed, tmp_path)
    reaper = killed.running["stubborn"]
    assert end_leftovers(killed.record) == 2
    reaper.wait()
    assert sessions_members({session}) == []
    assert end_leftovers(killed.record) == 0


def test_nothing_is_started_after_the_end(tmp_path: Path) -> None:
    children = Children(tmp_path / "record")
    children.end()
    with pytest.raises(DemoError, match="ends"):
        children.start("late", [sys.executable, "-c", ""], {}, tmp_path / "log")


def test_a_child_that_fails_is_named_with_its_log(tmp_path: Path) -> None:
    children = Children(tmp_path / "record")
    with pytest.raises(DemoError, match="bad ended with 3"):
        children.run("bad", [sys.executable, "-c", "raise SystemExit(3)"], dict(os.environ), tmp_path / "log")
    children.end()


def test_a_child_that_ended_by_itself_is_noticed(tmp_path: Path) -> None:
    children = Children(tmp_path / "record")
    children.start("short", [sys.executable, "-c", "raise SystemExit(4)"], dict(os.environ), tmp_path / "log").wait()
    assert children.dead(["short", "other"]) == {"short": 4}
    children.end()


def test_a_second_demo_in_the_checkout_is_refused(tmp_path: Path) -> None:
    with only_one(tmp_path / "lock"), pytest.raises(DemoError, match="already runs"), only_one(tmp_path / "lock"):
        pass
    with only_one(tmp_path / "lock"):
        pass


def test_a_signal_waits_until_a_child_is_noted() -> None:
    script = """
import os, signal
from demo.processes import Interrupted, raise_on_signals, uninterrupted
raise_on_signals()
noted = False
try:
    with uninterrupted():
        os.kill(os.getpid(), signal.SIGTERM)
        noted = True
except Interrupted as interrupted:
    raise SystemExit(interrupted.signum if noted else 99)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, timeout=60, check=False)
    assert done.returncode == signal.SIGTERM


def test_without_a_signal_a_block_just_ends() -> None:
    with uninterrupted():
        entered = True
    assert entered


def test_free_ports_are_all_different() -> None:
    assert len(set(free_ports(20))) == 20
