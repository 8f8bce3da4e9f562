"""Progress that is told now and then, however often something happens."""

import time
from collections.abc import Callable


class Paced:
    """Passes on what it is told, but not within so many seconds of what it passed on before, or of its beginning."""

    seconds = 3.0

    def __init__(self, say: Callable[[str], None], seconds: float | None = None) -> None:
        self._say = say
        self._pause = self.seconds if seconds is None else seconds
        self._spoke = time.monotonic()

    def __call__(self, text: str) -> None:
        """Say it, or keep silent."""
        now = time.monotonic()
        if now - self._spoke >= self._pause:
            self._spoke = now
            self._say(text)
