"""The script's own profilers, while ours is there: every call is answered, nothing is recorded.

Two recordings at once do not work: one of them ends up without events, or the process dies at exit. Ours
goes on; the script's keep their schedule and call their handlers, with empty results.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_REAL: dict[str, Any] = {}  # "legacy": torch.autograd.profiler.profile, while it is replaced


def make_inert(used: Callable[[], None]) -> None:
    """Replace torch.profiler.profile and torch.autograd.profiler.profile; `used` hears of each one made."""
    import torch
    import torch.autograd.profiler as legacy
    import torch.profiler.profiler as modern

    if _REAL:
        return
    _REAL["legacy"], _REAL["modern"] = legacy.profile, modern.profile
    legacy.profile = _legacy(legacy.profile, used)  # type: ignore[misc]
    modern.profile = torch.profiler.profile = _modern(modern.profile, used)  # type: ignore[misc]
    torch.autograd.profiler.profile = legacy.profile  # type: ignore[misc]


def restore() -> None:
    """Put torch's own classes back."""
    if not _REAL:
        return
    import torch
    import torch.autograd.profiler as legacy
    import torch.profiler.profiler as modern

    legacy.profile = _REAL.pop("legacy")  # type: ignore[misc]
    modern.profile = torch.profiler.profile = _REAL.pop("modern")  # type: ignore[misc]


@contextmanager
def real_profilers() -> Iterator[None]:
    """For our own recording: torch.profiler looks its lower layer up by name."""
    import torch.autograd.profiler as legacy

    replaced = legacy.profile
    legacy.profile = _REAL.get("legacy", replaced)  # type: ignore[misc]
    try:
        yield
    finally:
        legacy.profile = replaced  # type: ignore[misc]


def _modern(real: Any, used: Callable[[], None]) -> Any:
    """A torch.profiler.profile with its schedule and handler, that records nothing."""

    class profile(real):  # type: ignore[misc]  # noqa: N801 - the name that scripts see
        __doc__ = real.__doc__

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs["execution_trace_observer"] = None
            super().__init__(*args, **kwargs)
            self.record_steps = False  # its annotations would look like our steps
            used()

        def prepare_trace(self) -> None:
            pass

        def start_trace(self) -> None:
            pass

        def stop_trace(self) -> None:
            pass

        def add_metadata(self, key: str, value: str) -> None:
            pass

        def add_metadata_json(self, key: str, value: str) -> None:
            pass

        def toggle_collection_dynamic(self, enable: bool, activities: Any) -> None:
            pass

        def events(self) -> Any:
            return _no_events()

        def key_averages(self, *args: Any, **kwargs: Any) -> Any:
            return _no_events()

        def export_chrome_trace(self, path: str, *args: Any, **kwargs: Any) -> None:
            write_empty(path)

        def export_stacks(self, path: str, *args: Any, **kwargs: Any) -> None:
            write_empty(path, "")

        def export_memory_timeline(self, path: str, *args: Any, **kwargs: Any) -> None:
            write_empty(path)

    return profile


def _legacy(real: Any, used: Callable[[], None]) -> Any:
    """A torch.autograd.profiler.profile that is finished and empty as soon as it is left."""

    class profile(real):  # type: ignore[misc]  # noqa: N801 - the name that scripts see
        __doc__ = real.__doc__

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            used()

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *exception: Any) -> None:
            self._function_events = _no_events()
            if not hasattr(real, "function_events"):  # before torch 2.6 an attribute, then a property
                self.function_events = self._function_events
            self._needs_processing = False

        def export_chrome_trace(self, path: str) -> None:
            write_empty(path)

    return profile


def _no_events() -> Any:
    import torch.autograd.profiler_util as util

    event_list: Any = util.EventList
    events = event_list([])
    events._build_tree()
    return events


def write_empty(path: str, text: str | None = None) -> None:
    """A file where the script expects one; a trace that lies there already is left alone."""
    if not os.path.exists(path):
        with open(path, "w", encoding="utf-8") as file:
            file.write(json.dumps({"traceEvents": []}) if text is None else text)
