"""Reserve a port before the servers start."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from zenskar.errors import ConfigurationError


def local_address(host: str, port: int) -> str:
    """Return the address of a server on this machine."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


@contextmanager
def reserved_port(host: str, port: int) -> Iterator[tuple[int, socket.socket]]:
    """Yield a port (0: any free port) and the socket that reserves the port.

    Close the socket before a server listens on the port. Raises `ConfigurationError` when the port
    is in use.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            held.bind((host, port))
        except OSError as error:
            raise ConfigurationError(
                f"port {port} of {host} cannot be used ({error.strerror}): choose another one "
                "with --port"
            ) from error
        yield held.getsockname()[1], held
