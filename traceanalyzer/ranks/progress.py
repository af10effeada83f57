"""Progress over all files of an analysis, by bytes."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from traceanalyzer.ranks.resources import file_bytes


class Total(msgspec.Struct):
    """Tells `progress` how many bytes of all files are read so far; never fewer than before."""

    progress: Callable[[int], None] | None = None
    read: dict[str, int] = msgspec.field(default_factory=dict)  # of each file, as far as that is known

    def of(self, file: str) -> Callable[[int], None]:
        """What to call with the bytes of this file that are read so far."""

        def tell(read: int) -> None:
            if self.progress is not None and read > self.read.get(file, 0):
                self.read[file] = read
                self.progress(sum(self.read.values()))

        return tell

    def finished(self, file: str) -> None:
        """All of it is read, or none of it will be."""
        self.of(file)(file_bytes(file))
