"""Disable the script's own profilers during the capture: their calls work, nothing is recorded.

Two recordings at once do not work: one of them ends up without events, or the process crashes at exit. During
the capture the script's profilers keep their schedule and call their handlers, with empty results; one that
begins to record later is unchanged.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_REAL: dict[str, Any] = {}  # "legacy": torch.autograd.profiler.profile, while it is replaced


def disable_user_profilers(busy: Callable[[], bool], used: Callable[[], None]) -> None:
    """Replace torch.profiler.profile and torch.autograd.profiler.profile.

    One that begins to record while `busy()` is true records nothing, and `used()` is called.
    """
    import torch
    import torch.autograd.profiler as legacy
    import torch.profiler.profiler as modern

    if _REAL:
        return
    _REAL["legacy"] = legacy.profile
    legacy.profile = _legacy(legacy.profile, busy, used)  # type: ignore[misc]
    modern.profile = torch.profiler.profile = _modern(modern.profile, busy, used)  # type: ignore[misc]
    torch.autograd.profiler.profile = legacy.profile  # type: ignore[misc]


@contextmanager
def real_profilers() -> Iterator[None]:
    """Restore torch's own while this package records: torch.profiler looks its lower layer up by name."""
    import torch.autograd.profiler as legacy

    replaced = legacy.profile
    legacy.profile = _REAL.get("legacy", replaced)  # type: ignore[misc]
    try:
        yield
    finally:
        legacy.profile = replaced  # type: ignore[misc]


class _Answers:
    """What a torch.profiler.profile answers: nothing where nothing was recorded, else what it recorded."""

    idle = False  # what is being recorded, or was last, is nothing

    def add_metadata(self, *args: Any) -> None:
        if not self.idle:
            super().add_metadata(*args)  # type: ignore[misc]

    def add_metadata_json(self, *args: Any) -> None:
        if not self.idle:
            super().add_metadata_json(*args)  # type: ignore[misc]

    def toggle_collection_dynamic(self, *args: Any) -> None:
        if not self.idle:
            super().toggle_collection_dynamic(*args)  # type: ignore[misc]

    def events(self) -> Any:
        return _no_events() if self.idle else super().events()  # type: ignore[misc]

    def key_averages(self, *args: Any, **kwargs: Any) -> Any:
        return _no_events() if self.idle else super().key_averages(*args, **kwargs)  # type: ignore[misc]

    def export_chrome_trace(self, path: str, *args: Any, **kwargs: Any) -> None:
        if self.idle:
            write_empty(path)
        else:
            super().export_chrome_trace(path, *args, **kwargs)  # type: ignore[misc]

    def export_stacks(self, path: str, *args: Any, **kwargs: Any) -> None:
        if self.idle:
            write_empty(path, "")
        else:
            super().export_stacks(path, *args, **kwargs)  # type: ignore[misc]

    def export_memory_timeline(self, path: str, *args: Any, **kwargs: Any) -> None:
        if self.idle:
            write_empty(path)
        else:
            super().export_memory_timeline(path, *args, **kwargs)  # type: ignore[misc]


def _modern(real: Any, busy: Callable[[], bool], used: Callable[[], None]) -> Any:
    """A torch.profiler.profile with its schedule and handler, that records nothing while we do."""

    class profile(_Answers, real):  # type: ignore[misc]  # noqa: N801 - the name that scripts see
        __doc__ = real.__doc__

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            if busy():
                kwargs["execution_trace_observer"] = None
            super().__init__(*args, **kwargs)

        @property
        def record_steps(self) -> bool:
            return self.wants_steps and not busy()  # its annotations would look like our steps

        @record_steps.setter
        def record_steps(self, wanted: bool) -> None:
            self.wants_steps = wanted

        def prepare_trace(self) -> None:
            self.idle = busy()
            if not self.idle:
                with real_profilers():
                    super().prepare_trace()
            else:
                self.profiler = _NoProfile()
                used()

        def start_trace(self) -> None:
            if not self.idle:
                super().start_trace()

        def stop_trace(self) -> None:
            if not self.idle:
                super().stop_trace()

    return profile


def _legacy(real: Any, busy: Callable[[], bool], used: Callable[[], None]) -> Any:
    """A torch.autograd.profiler.profile that, while we record, is empty when it is left."""

    class profile(real):  # type: ignore[misc]  # noqa: N801 - the name that scripts see
        __doc__ = real.__doc__
        idle = False

        def __enter__(self) -> Any:
            self.idle = busy()
            if not self.idle:
                return super().__enter__()
            used()
            return self

        def __exit__(self, *exception: Any) -> Any:
            if not self.idle:
                return super().__exit__(*exception)
            self._function_events = _no_events()
            if not hasattr(real, "function_events"):  # before torch 2.6 an attribute, then a property
                self.function_events = self._function_events
            self._needs_processing = False
            return None

        def export_chrome_trace(self, path: str) -> None:
            write_empty(path) if self.idle else super().export_chrome_trace(path)

    return profile


class _NoResults:
    """Of a recording that was not made: torch._C._autograd._ProfilerResult."""

    def events(self) -> list[Any]:
        return []

    def experimental_event_tree(self) -> list[Any]:
        return []

    def save(self, path: str) -> None:
        write_empty(path)

    def trace_start_ns(self) -> int:
        return 0


class _NoProfile:
    """What `torch.profiler.profile.profiler` is while it records nothing."""

    kineto_results = _NoResults()

    def __init__(self) -> None:
        self.function_events = _no_events()


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
