"""Counts of what the reader dropped or repaired, and the notices about it."""

from __future__ import annotations

import msgspec
import numpy as np

from traceanalyzer.records import Notice, Salvaged

# Notice code -> message.
MESSAGES = {
    "truncated": "the file ends before the trace does; rows after the end are missing",
    "corrupt_gzip": "the compressed stream is damaged; what follows the damage is missing",
    "unreadable_rows": "rows that could not be read even after repair were left out",
    "repaired_quotes": "rows with an unescaped quote in a text were repaired",
    "repaired_escapes": "rows with a bad backslash escape were repaired",
    "repaired_control": "rows with raw control characters in a text were read as they are",
    "repaired_utf8": "rows with bytes that are not UTF-8 were read with replacement characters",
    "nonfinite_values": "rows with NaN, infinity or endless digits were read, the values taken as missing",
    "repaired_metadata": "text around the events is not JSON; some facts about the recording may be missing",
    "impossible_facts": "facts recorded beside the events cannot be (below 0, too large): taken as missing",
    "wrong_types": "rows whose ts, dur, name or args have the wrong type were left out",
    "missing_fields": "rows without a usable ts, dur or name were left out",
    "negative_duration": "rows with a negative duration were left out",
    "impossible_times": "rows that last over 11 days, or lie so far from all others, were left out",
    "clamped_rows": "rows whose ts and dur were both set to 0 by the profiler were left out",
    "unfinished_rows": "operators that had not ended when the recording did were left out",
    "unnamed_ops": "operators or annotations are called 'unknown': the profiler drops non-ASCII names",
    "quantised_time": "GPU records have a time of 0: this trace's clock counts whole microseconds",
    "uncategorised_rows": "rows come from the profiler before Kineto: no shapes, no links to operators; a "
    "range of the device counts without those inside it",
}

ROW_LOSSES = frozenset(
    {"missing_fields", "negative_duration", "impossible_times", "clamped_rows", "unfinished_rows"}
)


class ReadStats(msgspec.Struct):
    """Counts by notice code, and rows read and lost; filled while one file is read."""

    counts: dict[str, int] = msgspec.field(default_factory=dict)
    events: int = 0  # rows decoded
    dropped: int = 0  # rows that could not be decoded
    lenient: int = 0  # rows rewritten on the way, repaired or not
    damaged_at: int | None = None  # byte of decompressed text

    def add(self, code: str, count: int | np.integer = 1) -> None:
        """Count what the notice of this code is about."""
        if count:
            self.counts[code] = self.counts.get(code, 0) + int(count)

    def lose(self, at_byte: int, count: int = 1) -> None:
        """Note `count` rows lost at `at_byte`; the first such place is kept."""
        self.dropped += count
        if self.damaged_at is None:
            self.damaged_at = at_byte

    def cut_off(self, at_byte: int) -> None:
        """The text ends at `at_byte` although the document does not."""
        self.counts["truncated"] = 1
        self.lose(at_byte, 0)

    def warnings(self) -> tuple[Notice, ...]:
        """A notice of each code that was counted."""
        codes = [code for code in MESSAGES if code in self.counts]
        return tuple(Notice(code, MESSAGES[code], self.counts[code]) for code in codes)

    def salvaged(self) -> Salvaged | None:
        """None where the file was whole."""
        if self.damaged_at is None:
            return None
        return Salvaged(self.events, self.dropped, self.damaged_at)
