"""Everything ends with the test process, in whatever way that ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from demo.world import CHECKOUT
from tests.live.waiting import wait_until

pytestmark = pytest.mark.live

PROGRAM = """
import sys, time
from pathlib import Path
from demo.processes import Children
from tests.live.keeper import start_keeper
folder = Path(sys.argv[1])
keeper = start_keeper(folder / "sessions.json", folder)
deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
sleeper = deaf + "print('asleep', flush=True); time.sleep(600)"
child = Children(folder / "sessions.json").start("child", [sys.executable, "-c", sleeper], {}, folder / "log")
while "asleep" not in (folder / "log").read_text():
    time.sleep(0.05)
print(child.pid, keeper.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_test_process_leaves_nothing(tmp_path: Path, signum: int) -> None:
    """Not even a child that ignores SIGTERM, nor the folder."""
    folder = tmp_path / "home"
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    with subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child, keeper = map(int, process.stdout.readline().split())
        process.send_signal(signum)
    wait_until(lambda: not psutil.pid_exists(child), lambda: "the child goes on", patience=60)
    wait_until(lambda: not psutil.pid_exists(keeper), lambda: "the keeper goes on", patience=60)
    assert not folder.exists()
