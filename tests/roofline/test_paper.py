"""One BERT encoder layer, operator by operator: published class shares and best-case roofline shares.

Rows: Ivanov et al., arXiv 2007.00072 (MLSys 2021); sizes, einsums and fp16 from github.com/spcl/substation
(batch 8, length 512, 16 heads, width 1024, inner width 4096). FLOPs of contractions are 2MNK; the others
follow the per-element counts that reproduce the paper's printed class shares. No measured time is quoted.
"""

import csv
from pathlib import Path

import pytest

from traceanalyzer.device import named
from traceanalyzer.records.judged import Thresholds
from traceanalyzer.report.published import TRANSFORMER_2021
from traceanalyzer.roofline.verdicts import Roofs, RowFacts, judge_row

BATCH, LENGTH, HEADS, WIDTH, INNER = 8, 512, 16, 1024, 4096
FP16 = 2  # bytes of every element, masks included


def operators():
    with (Path(__file__).parent / "bert_layer_operators.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


ROWS = operators()


def facts(row):
    product = row["operator_class"] == "tensor_contraction"
    return RowFacts(
        "compute", None, int(row["flops"]), FP16 * int(row["input_elements"]),
        FP16 * int(row["output_elements"]),
        engine="matrix" if product else "vector", precision="fp16" if product else "fp32",
    )  # fmt: skip


def total(column, where=lambda row: True):
    return sum(int(row[column]) for row in ROWS if where(row))


def of_class(name):
    return lambda row: row["operator_class"] == name


def test_totals_to_the_integer():
    assert len(ROWS) == 46
    assert sum(row["phase"] == "forward" for row in ROWS) == 19
    assert total("flops", of_class("tensor_contraction")) == 335_007_449_088
    assert total("flops", of_class("statistical_normalization")) == 574_619_648
    assert total("flops", of_class("element_wise")) == 104_857_600
    assert total("flops") == 335_686_926_336
    assert total("input_elements") + total("output_elements") == 1_216_361_472


def test_contractions_are_the_layers_matrix_products():
    tokens, head = BATCH * LENGTH, WIDTH // HEADS
    linear = 2 * tokens * WIDTH * (3 * WIDTH + WIDTH + INNER + INNER)
    attention = 2 * (2 * BATCH * HEADS * LENGTH * LENGTH * head)
    forward = total("flops", lambda r: of_class("tensor_contraction")(r) and r["phase"] == "forward")
    assert forward == linear + attention == 111_669_149_696
    assert total("flops", of_class("tensor_contraction")) == 3 * forward


@pytest.mark.parametrize("line", TRANSFORMER_2021.classes, ids=lambda c: c.operator_class)
def test_class_shares_of_flops_as_printed(line):
    share = total("flops", of_class(line.operator_class)) / total("flops")
    assert round(100 * share, 2) == pytest.approx(100 * line.flops_share)


def test_the_origin_of_the_forty_percent():
    assert TRANSFORMER_2021.non_contraction_time_share == pytest.approx(0.39)
    assert sum(line.time_share for line in TRANSFORMER_2021.classes) == pytest.approx(1)
    assert sum(line.flops_share for line in TRANSFORMER_2021.classes) == pytest.approx(1)


BEST_CASE = [  # device, whole layer in us, memory-bound share in %, share outside contractions in %
    ("v100-sxm2", 4645.6, 46.75, 34.71),
    ("a100-sxm4-40gb", 2248.1, 55.91, 41.51),
    ("a100-sxm4-80gb", 1949.7, 49.17, 36.50),
    ("h100-sxm5", 896.0, 65.12, 48.35),
    ("h200-sxm", 719.8, 56.58, 42.01),
    ("b200", 391.3, 64.87, 48.17),
]


@pytest.mark.parametrize(("device", "layer_us", "memory", "outside"), BEST_CASE, ids=lambda v: str(v))
def test_best_case_shares(device, layer_us, memory, outside):
    roofs = Roofs.of(named(device), 2000, Thresholds())
    judged = [(row, judge_row(facts(row), roofs)) for row in ROWS]
    layer = sum(j.roof_ns for _, j in judged)
    bound = sum(j.roof_ns for _, j in judged if j.verdict == "memory_bound")
    other = sum(j.roof_ns for row, j in judged if row["operator_class"] != "tensor_contraction")
    assert layer / 1e3 == pytest.approx(layer_us, abs=0.05)
    assert 100 * bound / layer == pytest.approx(memory, abs=0.005)
    assert 100 * other / layer == pytest.approx(outside, abs=0.005)


@pytest.mark.parametrize("device", [case[0] for case in BEST_CASE])
def test_attention_products_are_memory_bound_contractions(device):
    roofs = Roofs.of(named(device), 2000, Thresholds())
    rows = [row for row in ROWS if of_class("tensor_contraction")(row)]
    memory = {row["operator"] for row in rows if judge_row(facts(row), roofs).bound == "memory"}
    assert memory == {"QK^T", "Gamma", "Gamma dX1", "Gamma dX2", "QK^T dX1", "QK^T dX2"}
    assert judge_row(facts(rows[1]), roofs).intensity == pytest.approx(51.2)
