"""A client that behaves, beside one that does not: steady requests, each with an id of its own."""

from __future__ import annotations

import ssl
import threading
from types import TracebackType

from tests.e2e.support.h2_raw import RawH2

__all__ = ["Neighbour"]

WAIT_S = 60.0


class Neighbour:
    """Requests on one connection, one after the other, between `with` and its end.

    The end fails if one request had not its own answer, or if they do not go on.
    """

    def __init__(self, address: str, context: ssl.SSLContext | None = None) -> None:
        self._client = RawH2(address, context=context)
        self._done = 0
        self._stop = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="neighbour", daemon=True)

    def _run(self) -> None:
        try:
            while not self._stop:
                number = str(self._done)
                answer = self._client.fetch("/neighbour", [("x-id", number)])
                assert (answer.status, answer.fields.get("x-id")) == (200, number), answer
                with self._changed:
                    self._done += 1
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001  (raised by the test)
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def goes_on(self, requests: int = 5) -> None:
        """Waits for so many more answers."""
        with self._changed:
            goal = self._done + requests
            ready = self._changed.wait_for(lambda: self._error or self._done >= goal, WAIT_S)
        if self._error is not None:
            raise AssertionError("the neighbour had an error") from self._error
        assert ready, "the neighbour waits"

    def __enter__(self) -> Neighbour:
        self._thread.start()
        self.goes_on(1)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.goes_on()
        finally:
            self._stop = True
            self._thread.join(WAIT_S)
            self._client.socket.close()
        assert not self._thread.is_alive()
