"""The published operator-class table that a report sets its own beside, and where it comes from.

Ivanov, Dryden, Ben-Nun, Li, Hoefler: "Data Movement Is All You Need: A Case Study on Optimizing
Transformers", MLSys 2021, arXiv 2007.00072. The 25.5 % and 13.5 % are the origin of "about 40 % of a
transformer's runtime is memory-bound"; they are class shares, not roofline verdicts.
"""

from __future__ import annotations

import msgspec

from traceanalyzer.records import OperatorClass


class PublishedClass(msgspec.Struct, frozen=True):
    """One line of the table; shares are 0 to 1, as printed."""

    operator_class: OperatorClass
    flops_share: float
    time_share: float


class PublishedTable(msgspec.Struct, frozen=True):
    """A class table with what one must know before comparing."""

    title: str
    source: str
    url: str
    year: int
    device: str
    workload: str
    classes: tuple[PublishedClass, ...]
    caveats: tuple[str, ...]

    @property
    def non_contraction_time_share(self) -> float:
        """The share of the two classes without products."""
        return sum(c.time_share for c in self.classes if c.operator_class != "tensor_contraction")


TRANSFORMER_2021 = PublishedTable(
    title="Data Movement Is All You Need: A Case Study on Optimizing Transformers",
    source="Ivanov, Dryden, Ben-Nun, Li, Hoefler, MLSys 2021",
    url="https://arxiv.org/abs/2007.00072",
    year=2021,
    device="NVIDIA V100 SXM2",
    workload="one BERT encoder layer, fp16, forward and backward, PyTorch",
    classes=(
        PublishedClass("tensor_contraction", 0.9980, 0.610),
        PublishedClass("statistical_normalization", 0.0017, 0.255),
        PublishedClass("element_wise", 0.0003, 0.135),
    ),
    caveats=(
        "a V100 of 2021: newer parts gained more compute than bandwidth, so the share outside "
        "contractions grows",
        "its rows are fused operators (scaled softmax with dropout is one), eager PyTorch runs several "
        "kernels for each",
        "classes say what an operator computes, not which roof it is under: the attention products are "
        "contractions and memory-bound",
    ),
)
