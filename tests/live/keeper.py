"""Ends a deployment for certain: when its test process closes a pipe, or is killed in whatever way."""

import shutil
import subprocess
import sys
from pathlib import Path

from demo.processes import end_leftovers
from demo.world import CHECKOUT


def start_keeper(record: Path, *folders: Path) -> "subprocess.Popen[bytes]":
    """Start it; it acts at the end of its input, then takes the folders away."""
    command = [sys.executable, "-m", "tests.live.keeper", str(record), *map(str, folders)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, cwd=CHECKOUT, start_new_session=True)


def end_keeper(keeper: "subprocess.Popen[bytes]") -> None:
    """Let it act, and wait for it."""
    keeper.communicate()


def main(record: str, *folders: str) -> None:
    """Wait for the end of the input, then end every process of the record."""
    sys.stdin.buffer.read()
    end_leftovers(Path(record))
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
