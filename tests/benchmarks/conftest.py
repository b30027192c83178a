from tests.servers import real_client, real_server, running

__all__ = ["real_client", "real_server", "running"]
