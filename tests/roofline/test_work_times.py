"""Time by what is done against sums over records, one by one."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from traceanalyzer.roofline.attribution import Attributed
from traceanalyzer.roofline.work_times import WorkKinds, by_record_and_kind

RECORDS, KINDS, CUTS = 8, 3, 5
entry = st.tuples(st.integers(0, RECORDS - 1), st.integers(0, CUTS - 1), st.integers(0, 9))


def part(entries):
    record, step, time_ns = np.array(entries, np.int64).reshape(-1, 3).T
    return Attributed(record.astype(np.int32), step.astype(np.int32), time_ns)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.lists(entry, max_size=10), min_size=1, max_size=4),
    st.lists(st.integers(0, KINDS - 1), min_size=RECORDS, max_size=RECORDS),
)
def test_nothing_is_lost_by_summing(parts, kinds):
    used = sorted(set(kinds))
    number = {kind: place for place, kind in enumerate(used)}
    stands_for = np.array([kinds.index(kind) for kind in used], np.int32)
    alike = WorkKinds(np.array([number[kind] for kind in kinds], np.int32), stands_for)
    total, summed = by_record_and_kind(map(part, parts), alike, RECORDS)
    of_record, of_kind = Counter(), Counter()
    for record, cut, time_ns in (each for entries in parts for each in entries):
        of_record[record] += time_ns
        of_kind[kinds[record], cut] += time_ns
    assert total.tolist() == [of_record[record] for record in range(RECORDS)]
    found = list(zip(summed.record.tolist(), summed.step.tolist(), summed.time_ns.tolist(), strict=True))
    assert {(kinds[record], cut): time_ns for record, cut, time_ns in found} == dict(of_kind)
    assert len({(kinds[record], cut) for record, cut, _ in found}) == len(found)
