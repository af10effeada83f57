"""Calls of modules: which layer an operator belongs to, and when an outermost forward has returned."""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

from traceanalyzer.model import MODULE_ANNOTATION

_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_DATA_PARALLEL = ("DistributedDataParallel", "DataParallel")


class ModuleCalls:
    """nn.Module.__call__, wrapped: annotates while `recording`, tells of every outermost return."""

    def __init__(self, returned: Callable[[object], None]) -> None:
        self.recording = False
        self.autocast: str | None = None  # data type seen while recording
        self._returned = returned
        self._original: Any = None
        self._depth = threading.local()
        self._roots: list[weakref.ref[Any]] = []
        self._names: dict[int, str] = {}

    def install(self) -> None:
        """From here on every call of a module goes through us, compiled code apart."""
        from torch import nn

        if self._original is None:
            self._original = nn.Module.__call__
            nn.Module.__call__ = self._wrapped(self._original)  # type: ignore[method-assign]

    def uninstall(self) -> None:
        if self._original is not None:
            from torch import nn

            if getattr(nn.Module.__call__, "_traceanalyze", None) is self:  # else somebody wrapped us
                nn.Module.__call__ = self._original  # type: ignore[method-assign]
        self._original = None
        self.recording = False
        self._names.clear()
        self._roots.clear()

    def start(self) -> None:
        """Annotate; the modules seen so far, the largest first, are named outside of what is measured."""
        found = [module for root in self._roots if (module := root()) is not None]
        for module in sorted(found, key=lambda each: -sum(1 for _ in each.modules())):
            if id(module) not in self._names:  # else it is a part of a larger one
                self._name(module)
        self.recording = True

    def _wrapped(self, original: Callable[..., Any]) -> Callable[..., Any]:
        depth, watcher = self._depth, self

        # The module is called `self` as in the original: the profiler's tracer of Python frames takes the
        # module from that variable (torch/csrc/autograd/profiler_python.cpp).
        @functools.wraps(original)
        def call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            outermost = not getattr(depth, "inside", False)
            depth.inside = True
            try:
                if watcher.recording:
                    result = watcher._annotated(original, outermost, self, args, kwargs)
                else:
                    if outermost:
                        watcher._seen(self)
                    result = original(self, *args, **kwargs)
            finally:
                if outermost:
                    depth.inside = False
            if outermost:
                watcher._returned(self)
            return result

        call._traceanalyze = self  # type: ignore[attr-defined]
        # Dynamo traces the original in its place: code compiled before, with and after us is the same.
        call._torchdynamo_inline = original  # type: ignore[attr-defined]
        return call

    def _annotated(
        self, original: Callable[..., Any], outermost: bool, module: Any, args: Any, kwargs: Any
    ) -> Any:
        import torch

        if outermost and id(module) not in self._names:
            self._name(module)
        name = self._names.get(id(module))
        if name is None or torch._C._get_tracing_state() is not None:
            return original(module, *args, **kwargs)
        if self.autocast is None:
            self.autocast = _autocast()
        with torch.autograd.profiler.record_function(MODULE_ANNOTATION + name):
            return original(module, *args, **kwargs)

    def _seen(self, module: Any) -> None:
        if len(self._roots) < 64 and all(root() is not module for root in self._roots):
            self._roots.append(weakref.ref(module))

    def _name(self, root: Any) -> None:
        """As in the first root's state_dict; below others the class stands in front."""
        kind = type(getattr(root, "_orig_mod", root)).__name__  # of torch.compile(model): the model's
        above = [kind] if self._names else []
        for name, module in root.named_modules():
            below = short_name(root, name)
            self._names.setdefault(id(module), ".".join([*above, below] if below else [kind]))


def short_name(root: object, name: str) -> str:
    """Without what wrappers add: `module._orig_mod.layers.0` of a DDP module is `layers.0`."""
    parts = name.split(".")
    if type(root).__name__ in _DATA_PARALLEL and parts[0] == "module":
        parts = parts[1:]
    return ".".join(part for part in parts if part not in _WRAPPERS)


def _autocast() -> str | None:
    import torch

    for device in ("cuda", "xpu", "cpu"):
        if torch.is_autocast_enabled(device):
            return str(torch.get_autocast_dtype(device)).removeprefix("torch.")
    return None


def leave_us_alone(trace_rules: ModuleType) -> None:
    """To be called when torch._dynamo.trace_rules has been imported.

    Code compiled in place meets our frames first; dynamo would compile those, with guards on our state.
    """
    trace_rules.add("traceanalyzer.collect")
