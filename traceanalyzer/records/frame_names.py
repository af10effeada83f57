"""What the name of a Python function says, as a recording with stacks writes it.

`models/net.py(41): forward`, `nn.Module: Linear_7`, `<built-in method relu of type object>`.
"""

from __future__ import annotations

import re
import sys

import msgspec

_FUNCTION = re.compile(r"(?P<file>.+?)(?:\((?P<line>\d{1,9})\))?: (?P<name>.+)", re.DOTALL)
_SOURCE = re.compile(r"\.(?:py|pyx|pyi|ipynb)$|^<(?:ipython-input|stdin|cell)|/ipykernel_")
# "c" and 51 digits of base 32: torch/_inductor/codecache.py, `code_hash`.
_GENERATED = re.compile(r"(?:^|/)c[a-z2-7]{51}\.py$")
_MODULE = "nn.Module: "
_NUMBER = re.compile(r"_\d+$")
_LONGEST = 1000  # characters of a name that are kept
_SITE = re.compile(r"(?:^|/)(?:site|dist)-packages/")
_STANDARD = re.compile(
    r"(?:^|/)lib(?:64)?/python3\.\d+/|^[A-Z]:/(?:.*/)?(?:python\d*|\w*conda\d*|envs/[^/]+)/lib/",
    re.IGNORECASE,
)
# Of the interpreter that recorded, which may be an older one than this.
_REMOVED = {"asynchat", "asyncore", "distutils", "imp", "smtpd", "cgi", "pipes", "telnetlib"}
_PYTHONS_OWN = sys.stdlib_module_names | _REMOVED
_FRAMEWORK = {"torch", "traceanalyzer"}
# What a user calls to work on arrays, images, tables, text and files: a wait in there is the caller's.
_TOOLS = frozenset({
    "numpy", "scipy", "PIL", "cv2", "skimage", "imageio", "sklearn", "pandas", "polars", "pyarrow", "numba",
    "h5py", "zarr", "numcodecs", "librosa", "soundfile", "decord", "av", "matplotlib", "tqdm", "regex",
    "requests", "urllib3", "aiohttp", "fsspec", "s3fs", "gcsfs", "boto3", "botocore", "safetensors",
    "tokenizers", "sentencepiece", "msgpack", "orjson", "yaml",
})  # fmt: skip


# Models, and what trains them: PyTorch writes their files as it writes a user's own package.
_LIBRARIES = _TOOLS | {
    "transformers",
    "diffusers",
    "accelerate",
    "peft",
    "trl",
    "datasets",
    "timm",
    "torchvision",
    "torchaudio",
    "torchmetrics",
    "torchtune",
    "torchrec",
    "lightning",
    "lightning_fabric",
    "pytorch_lightning",
    "megatron",
    "deepspeed",
    "flash_attn",
    "xformers",
    "vllm",
    "sglang",
    "bitsandbytes",
    "apex",
    "transformer_engine",
    "fbgemm_gpu",
    "triton",
    "open_clip",
    "sentence_transformers",
    "torch_geometric",
    "einops",
    "fairscale",
    "ignite",
    "ultralytics",
    "mmengine",
    "detectron2",
    "kornia",
    "monai",
}


class FrameName(msgspec.Struct, frozen=True):
    """A function by its file, the line where it is defined, and its own name."""

    file: str
    line: int | None
    function: str
    package: str  # the first folder of the file where packages lie; the file itself, if it lies in none


def is_module_call(text: str) -> bool:
    """Whether it is a call of an `nn.Module`."""
    return text.startswith(_MODULE)


def class_of(text: str) -> str:
    """`Linear` of `nn.Module: Linear_7`: instances of a class are numbered."""
    return _NUMBER.sub("", text[len(_MODULE) : len(_MODULE) + _LONGEST])


def parsed(text: str) -> FrameName | None:
    """None of what is no function in a file: a built-in one, or generated code."""
    match = _FUNCTION.fullmatch(text[:_LONGEST])
    if match is None:
        return None
    file = match["file"].replace("\\", "/")
    if not _SOURCE.search(file) or is_generated(file):
        return None
    line = int(match["line"]) if match["line"] else None
    return FrameName(file, line, match["name"], _package(file))


def is_generated(file: str) -> bool:
    """Whether torch.compile has written it."""
    return bool(_GENERATED.search(file))


def _package(file: str) -> str:
    """PyTorch writes files below a folder of `sys.path` without that folder."""
    inside = _SITE.split(file)
    if len(inside) > 1:
        return _first(inside[-1])
    standard = _STANDARD.split(file)
    return _first(standard[-1]) if len(standard) > 1 else _first(file)


def _first(file: str) -> str:
    return re.split(r"[/.]", file, maxsplit=1)[0]


def is_of_a_user(text: str) -> bool:
    """Whether it is a function outside PyTorch and the standard library."""
    name = parsed(text)
    if name is None or name.package in _FRAMEWORK:
        return False
    return not _is_standard(name)


def _is_standard(name: FrameName) -> bool:
    if _SITE.search(name.file):
        return False
    return name.package in _PYTHONS_OWN or bool(_STANDARD.search(name.file))


def is_a_tool(name: FrameName) -> bool:
    """Whether it is of a library for arrays, images, tables, text or files."""
    return name.package in _TOOLS


def library_of(name: FrameName) -> str | None:
    """The package of an installed library, as far as a file's name shows it; None of the user's own."""
    installed = bool(_SITE.search(name.file))
    return name.package if installed or name.package in _LIBRARIES else None


def short_files(files: list[str]) -> dict[str, str]:
    """Each file by its last parts, as many as tell it from the others. O(total length)."""
    short: dict[str, str] = {}
    left, parts = list(dict.fromkeys(files)), 1
    while left:
        tails: dict[str, list[str]] = {}
        for file in left:
            tails.setdefault("/".join(file.split("/")[-parts:]), []).append(file)
        short |= {same[0]: tail for tail, same in tails.items() if len(same) == 1}
        left = [file for same in tails.values() if len(same) > 1 for file in same]
        finished = [file for file in left if file.count("/") < parts]
        short |= {file: file for file in finished}
        left = [file for file in left if file not in short]
        parts += 1
    return short
