"""What a user has to be allowed, and a server to have, so that no script of ours ends in its middle."""

import redis
from redis.exceptions import ResponseError

from relay_jobs import keys
from relay_jobs.errors import UnsupportedServer
from relay_jobs.scripting import Script
from relay_jobs.servers import is_denied

_ACCESS = Script("check_access")


def require_access(client: "redis.Redis", *, engines: bool = False) -> None:
    """Refuse a user who may run a part of a script only, or a server that lacks a command.

    A user who may write no job at all is a reader. The engines are asked for by a script that may only read.

    Raises:
        UnsupportedServer: names the commands.
    """
    copies = (keys.legacy("probe"), keys.scoped("probe", "probe"))
    where = (*copies, keys.QUEUE, keys.index("probe"), keys.CLAIMS, keys.CLAIMANTS)
    try:
        _, reader, *found = _ACCESS(client, (), *where, "1" if engines else "0", read_only=engines)
    except ResponseError as error:
        if not is_denied(error):
            raise
        # redis-py's words go on with the text of the script.
        said = str(error).split(", with args")[0]
        msg = f"every step is a Lua script, and this server or user has none ({said})"
        raise UnsupportedServer(msg) from error
    lacking, unread, unwritable = (", ".join(name.decode() for name in names) for names in found)
    if lacking:
        msg = f"the server lacks {lacking}: renamed or removed, or too old; Redis 7.0 and up and Valkey have it"
        raise UnsupportedServer(msg)
    if unread:
        msg = f"this user may not run what every reader needs: {unread}"
        raise UnsupportedServer(msg)
    if unwritable and reader == b"0":
        msg = f"this user may run some writes of the job store but not these, and would leave half a job: {unwritable}"
        raise UnsupportedServer(msg)
