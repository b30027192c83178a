"""The changelog's ``python -m scripts.backfill_redis_keys``: ``relay-jobs backfill`` with the old defaults."""

import argparse
import sys

from relay_jobs.cli import main


def translated(arguments: list[str]) -> list[str]:
    """The same command line for ``relay-jobs backfill``.

    ``--cursor 0`` means ``--restart``; another cursor is refused, it is void by now.
    """
    parser = argparse.ArgumentParser(prog="backfill_redis_keys", add_help=False, allow_abbrev=False)
    parser.add_argument("--cursor")
    parser.add_argument("--rps", default="100")
    parser.add_argument("--batch", default="500")
    old, rest = parser.parse_known_args(arguments)
    if old.cursor not in {None, "0"}:
        parser.error(f"--cursor {old.cursor}: a cursor from another run is void; allowed is 0, which starts over")
    if "--full-speed" not in rest:
        rest += ["--rps", old.rps]
    restart = ["--restart"] if old.cursor == "0" else []
    return ["backfill", *rest, "--batch", old.batch, *restart]


if __name__ == "__main__":
    main(translated(sys.argv[1:]))
