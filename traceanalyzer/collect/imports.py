"""Callbacks after the import of a module, without importing it here.

A script may set OMP_NUM_THREADS or TORCH_LOGS before it imports torch; importing torch first would ignore
them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Action = Callable[[ModuleType], None]


class AfterImport(MetaPathFinder):
    """Calls each module's actions once, when it has been loaded; at once where it is loaded already."""

    def __init__(self, actions: Mapping[str, Action]) -> None:
        self._waiting: dict[str, list[Action]] = {}
        for name, action in actions.items():
            self.add(name, action)

    def add(self, name: str, action: Action) -> None:
        """One more action for a module; several for one module run in the order they were added."""
        if name in sys.modules:
            action(sys.modules[name])
        else:
            self._waiting.setdefault(name, []).append(action)

    def install(self) -> None:
        """Look at every import from now on."""
        sys.meta_path.insert(0, self)

    def remove(self) -> None:
        """Look at none any more."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Asking does not import: whoever only looks a module up leaves its actions waiting."""
        if fullname not in self._waiting:
            return None
        spec = self._found_by_others(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        spec.loader = _Loader(spec.loader, self._imported)
        return spec

    def _imported(self, module: ModuleType) -> None:
        for action in self._waiting.pop(module.__name__, []):
            action(module)
        if not self._waiting:
            self.remove()

    def _found_by_others(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        for finder in sys.meta_path:
            if finder is not self:
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    return spec
        return None


class _Loader(Loader):
    """The module's own loader by all appearances; calls back after loading."""

    def __init__(self, inner: Loader, imported: Action) -> None:
        self._inner = inner
        self._imported = imported

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)  # get_filename, is_package, get_resource_reader, ...

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._inner  # other code that looks up the loader finds the original
        if module.__spec__ is not None:
            module.__spec__.loader = self._inner
        self._inner.exec_module(module)
        self._imported(module)
