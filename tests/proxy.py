"""The proxy of the chaos runs, which tests put before their servers too."""

from chaos.proxy import Proxy

__all__ = ["Proxy"]
