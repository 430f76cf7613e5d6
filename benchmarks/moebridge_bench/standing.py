"""Proxies that are up, checked, and each on the CPU of the measured, for measures of any kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from .check import check
from .cpu import Pinned
from .measure import Options, Say
from .nginx import start_upstream
from .peer import PeerError, Process, Protocol, Setup, Tools, new_folder
from .peers import PEERS
from .secure import make_certificate

__all__ = ["Standing", "stand"]


@dataclass(frozen=True)
class Standing:
    """What is up.

    Attributes:
        processes: those that are measured, by their rows.
        missing: rows that are not measured, and why.
    """

    processes: dict[str, Process]
    missing: dict[str, str]


@contextmanager
def stand(
    rows: Sequence[str],
    say: Say,
    options: Options,
    *,
    name: str,
    base: str,
    connections: int,
    protocol: Protocol = "h1",
) -> Iterator[Standing]:
    """Starts an upstream and the proxies; they end with the context.

    Args:
        rows: names in `peers.PEERS`.
        say: gets lines of progress.
        options: which rows are wanted, where programs are.
        name: of the measure.
        base: the row that is always wanted.
        connections: at a time, for the sizes of pools.
        protocol: of the clients.

    Raises:
        PeerError: a row that is required does not start, or does not answer as the upstream.
    """
    tools, pinned = Tools(options.peers), Pinned()
    standing = Standing({}, {})
    with ExitStack() as stack:
        stack.callback(pinned.unpin_self)
        pinned.pin_self()
        upstream = stack.enter_context(start_upstream(64)).address
        certificate = None
        if protocol == "tls":
            certificate = make_certificate(Path(stack.enter_context(new_folder())))
        setup = Setup(
            upstream=upstream,
            connections=connections,
            protocol=protocol,
            certificate=certificate,
            tools=tools,
        )
        for row in rows:
            if options.rows and row not in (base, *options.rows):
                continue
            peer = PEERS[row]
            try:
                if why := peer.missing(tools):
                    raise PeerError(why)
                process = stack.enter_context(peer.start(setup))
            except PeerError as error:
                if peer.required:
                    raise
                standing.missing[row] = str(error)
                say(f"{name}: {row} is not measured: {error}")
                continue
            pinned.pin_proxy(process.pid)
            check(peer, process.address, upstream, protocol)
            standing.processes[row] = process
        yield standing
