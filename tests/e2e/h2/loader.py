"""A client of one connection with many streams at once, that knows what became of each request."""

from __future__ import annotations

import threading
from types import TracebackType

from tests.e2e.support.h2_frames import LARGEST_WINDOW, Answer
from tests.e2e.support.h2_raw import Ended, RawH2

__all__ = ["Loader"]

END_S = 60.0


class Loader:
    """Keeps `width` requests under way, each with an id of its own, until `stop` or a goodbye.

    Args:
        address: `ip:port`.
        first_id: ids go up from here.
        width: streams at a time.
        until_last: a first GOAWAY, which says only that the end is near, is not minded.
    """

    def __init__(
        self, address: str, first_id: int, *, width: int = 30, until_last: bool = False
    ) -> None:
        self._client = RawH2(address)
        self._next_id, self._width, self._until_last = first_id, width, until_last
        self._stop = False
        self._error: BaseException | None = None
        #: Streams under way -> id.
        self._open: dict[int, int] = {}
        #: What became of each id.
        self.answers: dict[int, Answer] = {}
        #: Ids whose streams the last GOAWAY says were never looked at.
        self.refused: set[int] = set()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def goaways(self) -> list[tuple[int, int]]:
        """Last stream and code of each GOAWAY."""
        return self._client.goaways

    def _may_begin(self) -> bool:
        if self._stop or len(self._open) >= self._width:
            return False
        said = len(self.goaways)
        return said == 0 or (said == 1 and self._until_last)

    def _run(self) -> None:
        try:
            while True:
                while self._may_begin():
                    number = self._next_id
                    self._next_id += 1
                    fields = [("x-id", str(number)), ("x-tag", "-")]
                    try:
                        self._open[self._client.request("/", fields)] = number
                    except Ended:  # what was sent before may still be read
                        self._stop = True
                if not self._open:
                    break
                self._collect(self._client.read().stream)
            if self.goaways:
                self._client.end(END_S)
        except Ended:
            last = min(stream for stream, _ in self.goaways) if self.goaways else LARGEST_WINDOW
            self.refused = {n for stream, n in self._open.items() if stream > last}
            if len(self.refused) < len(self._open):
                self._error = AssertionError(
                    f"{len(self._open)} of {len(self.answers)} requests have no answer: "
                    f"{self.goaways}, {self._open}"
                )
        except BaseException as error:  # noqa: BLE001  (raised by the test)
            self._error = error
        finally:
            self._client.socket.close()

    def _collect(self, stream: int) -> None:
        answer = self._client.answers.get(stream)
        if answer is not None and answer.over and stream in self._open:
            self.answers[self._open.pop(stream)] = self._client.answers.pop(stream)

    def stop(self) -> None:
        """Begins no further request."""
        self._stop = True

    def join(self) -> dict[int, Answer]:
        """Waits for the answers of all that were begun."""
        self._thread.join(END_S)
        assert not self._thread.is_alive(), f"{len(self._open)} requests wait"
        if self._error is not None:
            raise self._error
        return self.answers

    def __enter__(self) -> Loader:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop = True
        self._thread.join(END_S)
