from tests.servers import real_server, running

__all__ = ["real_server", "running"]
