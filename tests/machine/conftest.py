from tests.servers import running

__all__ = ["running"]
