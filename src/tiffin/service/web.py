"""Serve the page, ``/health`` and ``/metrics`` of a service, in a thread."""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING

from tiffin.errors import SettingsError, optional_import

if TYPE_CHECKING:
    from tiffin.service.service import Service

__all__ = ["TOKEN", "WebPage"]

TOKEN = "TIFFIN_TOKEN"
"""The environment variable with the token for changes."""

MOST_CONNECTIONS = 100

GOODBYE = 2.0
"""How long open connections may take at the end [s]."""


class WebPage:
    """The web server of a service.

    Parameters
    ----------
    service : Service
    host : str
    port : int
        0 for any that is free.

    Attributes
    ----------
    address : str
        Where it is, such as ``"http://127.0.0.1:8090"``.

    Raises
    ------
    MissingLibraryError
        If the libraries are not installed.
    SettingsError
        If the address is in use, or is not one of this machine.
    """

    def __init__(self, service: Service, host: str, port: int) -> None:
        why = 'the page of the service needs libraries (http = "" does without)'
        with optional_import(why, extra="service"):
            import uvicorn

            from tiffin.service.web_app import make_app
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family)
        except OSError as error:
            message = f"http: {host}:{port} can't be used: {error.strerror or error}"
            raise SettingsError(message) from error
        self._closing = threading.Event()
        token = os.environ.get(TOKEN, "")
        options = uvicorn.Config(
            make_app(service, host, token, self._closing.is_set),
            access_log=False,
            lifespan="off",
            limit_concurrency=MOST_CONNECTIONS,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=int(GOODBYE),
        )
        self._server = uvicorn.Server(options)
        self._thread = threading.Thread(target=self._run, name="tiffin-web")
        self._thread.daemon = True
        shown = f"[{host}]" if ":" in host else host
        self.address = f"http://{shown}:{self._socket.getsockname()[1]}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Answer nobody any more."""
        self._closing.set()
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(2 * GOODBYE)
        self._socket.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])
