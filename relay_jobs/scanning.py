"""SCAN as a divisible walk: a partition is the low bits of the cursor.

Undocumented, measured on Redis 7.0 and Valkey 9.1: for 2**k partitions, partition p starts at cursor p and ends when
the next cursor is 0 or its low k bits are no longer p. So it is probed before it is relied on, and a verification
walks the plain way.
"""

import redis

from relay_jobs.errors import UsageError

PARTITIONS_MAX = 256


def partition_bits(partitions: int) -> int:
    """The number of cursor bits that ``partitions`` needs.

    Raises:
        UsageError: not a power of two from 1 to 256.
    """
    if not 1 <= partitions <= PARTITIONS_MAX or partitions & (partitions - 1):
        msg = f"invalid partitions {partitions!r}: allowed is a power of two from 1 to {PARTITIONS_MAX}"
        raise UsageError(msg)
    return partitions.bit_length() - 1


def partitionable(client: "redis.Redis", partitions: int) -> bool:
    """Whether this server's cursors count upwards in reversed bit order from each partition's start."""
    if partitions == 1:
        return True
    with client.pipeline(transaction=False) as pipe:
        for number in range(partitions):
            pipe.scan(number, match="ai:migration:none", count=1)
        cursors = [int(reply[0]) for reply in pipe.execute()]
    return all(cursor == 0 or _reversed(cursor) > _reversed(number) for number, cursor in enumerate(cursors))


def _reversed(cursor: int) -> int:
    return int(f"{cursor:064b}"[::-1], 2)
