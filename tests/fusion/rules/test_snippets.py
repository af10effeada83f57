"""Every snippet as a reader pastes it: it runs where its rule looks, and sets nothing that is so anyway."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from traceanalyzer.fusion.rules import RULES, rule_named

torch = pytest.importorskip("torch")


@pytest.fixture
def alone() -> Iterator[None]:
    """A group of one process on a CPU."""
    import torch.distributed as dist

    dist.init_process_group(
        "gloo", rank=0, world_size=1, store=dist.HashStore(), timeout=timedelta(seconds=30)
    )
    yield
    dist.destroy_process_group()


def texts(value: object) -> Iterator[str]:
    """All strings that it holds."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from texts(getattr(value, name))
    elif isinstance(value, tuple | list):
        for each in value:
            yield from texts(each)
    elif isinstance(value, dict):
        yield from texts(list(value.values()))


def calls(text: str) -> list[ast.Call]:
    """Those of a text that is Python; none of words."""
    try:
        tree = ast.parse(text.replace("{module}", "model"))
    except SyntaxError:
        return []
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def snippets() -> dict[str, str]:
    """Text -> its rule, of all constants of all rules' modules that are Python with a call in it."""
    return {
        text: rule.name
        for rule in RULES
        for name, value in vars(sys.modules[rule.find.__module__]).items()
        if not name.startswith("__")
        for text in texts(value)
        if calls(text)
    }


def known(text: str) -> dict[str, Any]:
    """What its names stand for, as far as it imports them, or every reader has."""
    names = {"torch": torch, "DataLoader": torch.utils.data.DataLoader}
    imports = [each for each in ast.parse(text).body if isinstance(each, ast.Import | ast.ImportFrom)]
    try:
        exec(ast.unparse(ast.Module(imports, [])), names)
    except ModuleNotFoundError:
        pytest.skip("of a library that is not installed")
    return names


def set_to_the_default(text: str) -> list[str]:
    """Keywords in it whose value is the default, by the signatures of the PyTorch that is installed."""
    text = text.replace("{module}", "model")
    names, found = known(text), []
    for call in calls(text):
        if any(isinstance(part, ast.Call) for part in ast.walk(call.func)):
            continue
        try:
            parameters = inspect.signature(eval(ast.unparse(call.func), names)).parameters
        except (NameError, AttributeError, ValueError, TypeError):
            continue  # the reader's own, or C++
        for keyword in call.keywords:
            try:
                value = eval(ast.unparse(keyword.value), names)
            except (NameError, AttributeError):
                continue
            if keyword.arg in parameters and parameters[keyword.arg].default == value:
                found.append(keyword.arg)
    return found


def with_marks(found: dict[str, str], slow: Callable[[str], bool]) -> list[Any]:
    """One case a text, named by its rule; those that are slow are marked so."""
    mark = pytest.mark.slow
    return [pytest.param(text, id=rule, marks=[mark] if slow(text) else []) for text, rule in found.items()]


@pytest.mark.parametrize("text", with_marks(snippets(), lambda text: "torch.distributed.fsdp" in text))
def test_no_snippet_sets_what_is_the_default(text: str) -> None:
    assert not set_to_the_default(text)


def test_what_is_the_default_is_seen() -> None:
    text = "DataLoader(data, num_workers=0, pin_memory=True, persistent_workers=False)"
    assert set_to_the_default(text) == ["num_workers", "persistent_workers"]


def of_advice(word: str) -> str:
    """The snippet about collectives that has this word."""
    (text,) = [each for each, rule in snippets().items() if rule == "exposed_communication" and word in each]
    return text


def layers(count: int) -> Any:
    return torch.nn.Sequential(*[torch.nn.Linear(4, 4) for _ in range(count)])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:FSDP is switching", "ignore::FutureWarning")
@pytest.mark.parametrize("wrapper", ["DistributedDataParallel", "FullyShardedDataParallel"])
def test_wrappers_train_on_a_cpu_as_they_are_advised(wrapper: str, alone: None) -> None:
    names = {"torch": torch, "model": layers(2), "device": torch.device("cpu")}
    exec(of_advice(f" = {wrapper}" if wrapper[0] == "F" else wrapper), names)
    assert type(names["model"]).__name__ == wrapper
    names["model"](torch.ones(2, 4)).sum().backward()
    assert all(weight.grad is not None for weight in names["model"].parameters())


@pytest.mark.slow
def test_modules_prefetch_more_than_the_one_that_they_would_anyway(alone: None) -> None:
    """As fully_shard's documentation has it: a list of one is its default, and two or more overlap more."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model, mesh, asked = layers(5), init_device_mesh("cpu", (1,)), []
    for each in (*model, model):
        fully_shard(each, mesh=mesh)
    exec(of_advice("set_modules_to_forward_prefetch"), {"blocks": list(model)})
    model(torch.ones(2, 4)).sum().backward()
    blocks = [
        SimpleNamespace(
            set_modules_to_forward_prefetch=lambda ahead, at=at: asked.append((at, [*ahead])),
            set_modules_to_backward_prefetch=lambda ahead, at=at: asked.append((at, [*ahead])),
        )
        for at in range(5)
    ]
    exec(of_advice("set_modules_to_forward_prefetch"), {"blocks": blocks})
    ahead = [[blocks.index(each) for each in modules] for _, modules in asked]
    assert ahead[0::2] == [[1, 2], [2, 3], [3, 4], [4], []]
    assert ahead[1::2] == [[], [0], [1, 0], [2, 1], [3, 2]]


@pytest.mark.parametrize(
    "word",
    ["all_reduce", "all_to_all_single", "all_gather_into_tensor", "reduce_scatter_tensor", "broadcast"],
)
def test_collectives_run_beside_other_work_on_a_cpu(word: str, alone: None) -> None:
    tensors = {name: torch.ones(4) for name in ("x", "z", "sent", "received", "all_of_x", "part_of_x")}
    names = {"torch": torch, "f": torch.exp, "dense": torch.exp, **tensors}
    exec(of_advice(word), names)
    assert "work.wait()" in of_advice(word) and names["y"].shape == (4,)


def test_what_is_kept_is_not_computed_again_on_a_cpu() -> None:
    """Of a block with attention and products, under the policy of the snippet."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Seen(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            names.append(str(func))
            return func(*args, **(kwargs or {}))

    names: list[str] = []
    rule = rule_named("recomputation")
    assert rule is not None
    block = torch.nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True)
    pasted = {"torch": torch, "block": block, "x": torch.randn(2, 8, 16, requires_grad=True)}
    with Seen():
        exec(rule.snippet, pasted)
    forward, names[:] = {"addmm", "_scaled_dot_product_flash_attention_for_cpu"}, names
    assert {f"aten.{each}.default" for each in forward} <= set(names)
    names.clear()
    with Seen():
        pasted["y"].sum().backward()
    assert not {f"aten.{each}.default" for each in forward} & set(names)
    assert "aten.native_layer_norm.default" in names, "the rest is"


def on_a_cpu() -> dict[str, str]:
    """Those of rules that look at a CPU's steps too, and have no test of their own here."""
    tested = ("exposed_communication", "recomputation")
    gpu = {rule.name for rule in RULES if "gpu" in rule.needs}
    return {
        text: rule for text, rule in snippets().items()
        if rule not in gpu and rule not in tested and not text.startswith("enumerate(")
    }  # fmt: skip


def pasted_into(text: str) -> dict[str, Any]:
    """What it takes for granted."""
    tokens, model, ones, linear = torch.randn(1, 2, 8, 4), layers(2), torch.ones(2, 4), torch.nn.Linear(4, 6)
    functional = torch.nn.functional
    of_rank = torch.ones(1, 2, 4, 4, 4) if "3d" in text else torch.ones(1, 2, 4, 4)
    return {
        "torch": torch, "F": functional, "DataLoader": torch.utils.data.DataLoader, "model": model,
        "data": torch.utils.data.TensorDataset(torch.ones(8, 4)), "lr": 0.1, "eps": 1e-6,
        "q": tokens, "k": tokens, "v": tokens, "gate": ones, "batch": ones,
        "x": of_rank if "channels_last" in text else ones, "array": torch.ones(3).numpy(),
        "weight": linear.weight if "linear(" in text else torch.ones(4), "bias": linear.bias,
        "logits": torch.randn(2, 4, requires_grad=True), "target": torch.tensor([1, 2]),
        "rows": 8, "width": 4,
        "loss_a": model(ones).sum(), "loss_b": model(ones).sum(), "criterion": functional.cross_entropy,
        "step": lambda batch: model(batch).sum(), "conv": torch.nn.Conv2d(3, 3, 1).eval(),
        "bn": torch.nn.BatchNorm2d(3).eval(), "apply_rotary": torch.sin, "both": linear, "widths": (2, 4),
        "optimizer": torch.optim.SGD(model.parameters()), "compute_loss": functional.mse_loss,
        "pipe": lambda inputs, num_workers: inputs, "inputs": [],
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("text", with_marks(on_a_cpu(), lambda text: "torch.compile(torch." in text))
def test_a_snippet_runs_on_a_cpu(text: str) -> None:
    text = text.replace("{module}", "model").replace("TORCH_LOGS=recompiles python train.py", "")
    try:
        exec(text, pasted_into(text))
    except ModuleNotFoundError as error:
        assert error.name == "torchao"
        pytest.skip("torchao is not installed")
