"""Connection to a dask scheduler, and the error message when there is none."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from engine.workers import ClusterError
from storage.datum import Datum
from storage.files import BadFile, load_json

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["address_of", "connected"]

CONNECT = 20  # seconds that a scheduler may take to answer
CLOSE = 5  # seconds that a farewell may take
MAX_FILE = 1 << 20  # bytes of a scheduler file
INSTALL = "python -m pip install -r requirements-cluster.txt"


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """Open a client of the scheduler at an address; ClusterError without dask or without an answer. Leaving the block
    closes the connection, not the cluster."""
    try:
        from distributed import Client
    except ImportError as error:
        raise ClusterError(f"--engine dask: {error.name} is not installed; {INSTALL}") from None
    _silence()
    _check_certificates(address)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of versions: we check those that matter
        try:
            client = Client(address, timeout=CONNECT, set_as_default=False, name="zcp")
        except (OSError, ValueError, ImportError) as error:  # a time-out is an OSError
            raise ClusterError(f"scheduler {address}: no answer ({error}); start one, or correct --scheduler") from None
    try:
        yield client
    finally:
        client.close(timeout=CLOSE)


def _check_certificates(address: str) -> None:
    """Refuse TLS without certificates before there is a client, which would wait for an end that never comes."""
    from distributed.security import Security

    if not address.startswith("tls://"):
        return
    try:
        context = Security().get_connection_args("client").get("ssl_context")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ClusterError(f"scheduler {address}: the certificates of TLS cannot be read ({error})") from None
    if context is None:
        raise ClusterError(
            f"scheduler {address}: got no certificates, wanted those of TLS; set DASK_DISTRIBUTED__COMM__TLS__CA_FILE "
            "and __CLIENT__CERT and __CLIENT__KEY as docs/cluster.md says"
        )


def address_of(scheduler: str) -> str:
    """The address in the file that a scheduler writes with --scheduler-file, or the address itself."""
    if not scheduler.endswith(".json"):
        return _address(scheduler, "HOST:PORT or the FILE.json of a scheduler")
    try:
        found = load_json(Path(scheduler), MAX_FILE, "the file of a scheduler")
        return _address(
            Datum(scheduler, found, BadFile)["address"].text(200), f"HOST:PORT as the address in {scheduler}"
        )
    except BadFile as error:
        raise ClusterError(f"--scheduler: {error}") from None


def _address(text: str, wanted: str) -> str:
    """The text if it is an address; a file may not name another file, let alone itself."""
    if text.endswith(".json") or re.fullmatch(r"(\w+://)?[\w.\-\[\]:]+:\d{1,5}", text, re.ASCII) is None:
        raise ClusterError(f"--scheduler: got {text!r}, wanted {wanted}")
    return text


def _silence() -> None:
    """Silence dask's loggers: lost connections are reported by our own one-line messages instead."""
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("distributed"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
