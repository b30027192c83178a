"""A PostgreSQL of its own, from Debian's package: its cluster in a temporary folder, on a free loopback port.

It runs below a small process: PostgreSQL refuses root, and SIGTERM alone would let it wait for its clients.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from demo.processes import Children
from demo.server import free_ports
from tests.live.waiting import wait_until

USER = "airflow"


def programs() -> Path | None:
    """The folder of the newest PostgreSQL, if one is installed; Debian has it on nobody's PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


@dataclass
class Postgres:
    """One server; its data outlive a restart."""

    children: Children
    logs: Path
    port: int = field(default_factory=lambda: free_ports(1)[0])
    # Not below the home of the tests, which is root's alone.
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="relay-postgres-")))

    @property
    def url(self) -> str:
        """What Airflow calls it by."""
        return f"postgresql+psycopg2://{USER}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it takes connections; the first start makes the cluster."""
        command = [sys.executable, "-m", "tests.live.postgres", str(self.folder), str(self.port)]
        self.children.start("postgres", command, os.environ, self.logs / "postgres.log")
        wait_until(self._answers, lambda: f"PostgreSQL does not answer; see {self.logs / 'postgres.log'}", patience=60)

    def stop(self) -> None:
        """Stop it as an administrator does: its clients are cut off."""
        self.children.stop(["postgres"])

    def remove(self) -> None:
        """Take its data away."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        asked = [str(_installed() / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return not self.children.dead(["postgres"]) and subprocess.run(asked, check=False).returncode == 0


def _installed() -> Path:
    found = programs()
    if found is None:
        raise FileNotFoundError("PostgreSQL is not installed (on Debian: apt-get install postgresql)")
    return found


def _as_owner() -> list[str]:
    """What goes before a command: another user for root, and death with the parent in any case."""
    account = ["--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
    return ["setpriv", *account, "--pdeathsig=INT"]


def main(folder: str, port: str) -> None:
    """Serve until SIGTERM."""
    stop = {signal.SIGTERM, signal.SIGINT}
    data = Path(folder) / "data"
    if os.getuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    if not data.exists():
        made = ["--auth=trust", f"--username={USER}", "--encoding=UTF8", "--no-locale", "--no-sync"]
        subprocess.run([*_as_owner(), str(_installed() / "initdb"), "-D", str(data), *made], check=True, cwd=folder)
    # Nothing here has to outlive the machine; -k: Debian's own folder for sockets is not everyone's.
    options = ["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1", "-k", folder, "-p", port]
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    # The mask is inherited, and PostgreSQL unblocks for itself what it wants to hear.
    server = subprocess.Popen([*_as_owner(), str(_installed() / "postgres"), "-D", str(data), *options], cwd=folder)
    try:
        signal.sigwait({*stop, signal.SIGCHLD})
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
