"""Two documents -> which cases became slower or faster by more than their noise.

Our time of each case is held against that of the same case before. A change counts if it is larger
than the tolerance and than what the spreads of both medians explain; and if the case's dense
baseline, which ran in turns with ours, has not changed as much: then it was the machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sparse_gemm.bench import tables
from sparse_gemm.bench.names import OURS

TOLERANCE = 0.05
# Of a normal distribution: its deviation from the distance of the 10th and the 90th percentile; the
# error of a median in deviations, over the root of the number of samples; and how many of these
# errors a change must exceed.
_DEVIATIONS_10_TO_90 = 2.563
_MEDIAN_ERROR = 1.2533
_ERRORS = 3.0
# Samples of one run are no independent draws: neighbours share a load. So many count at most.
_MOST_SAMPLES = 30

Record = Mapping[str, Any]


class Change(NamedTuple):
    """A time after over the time before, and the share by which noise alone may change that."""

    ratio: float
    noise: float

    def exceeds(self, tolerance: float) -> bool:
        """Whether it is a change at all."""
        return abs(math.log(self.ratio)) > math.log1p(tolerance) + _ERRORS * self.noise


class Verdict(NamedTuple):
    """Of one case.

    Attributes:
        word: "slower", "faster", "same", "machine" (the baseline changed as well), "failed" (there
            is no time after), "new" (there was none before) or "gone".
        ours, baseline: the changes; None where there is nothing to compare.
    """

    case: str
    word: str
    ours: Change | None = None
    baseline: Change | None = None


def compare(
    before: Mapping[str, Any], after: Mapping[str, Any], tolerance: float = TOLERANCE
) -> list[Verdict]:
    """A verdict for each case of either document, in the order of `after`.

    Raises:
        ValueError: the documents are of different devices, or the times of one mean nothing.
    """
    for document in (before, after):
        if document["meaningless"]:
            raise ValueError(f"times mean nothing: {document['meaningless']}")
    names = [document["device"].get("name") for document in (before, after)]
    if names[0] != names[1]:
        raise ValueError(f"times of {names[0]} and of {names[1]} do not compare")
    old, new = (_by_case(document["records"]) for document in (before, after))
    verdicts = [
        _verdict(case, old[case], record, tolerance) if case in old else Verdict(case, "new")
        for case, record in new.items()
    ]
    return verdicts + [Verdict(case, "gone") for case in old if case not in new]


def render(verdicts: Sequence[Verdict]) -> str:
    """A table of what is not the same, and a count of the rest."""
    shown = [verdict for verdict in verdicts if verdict.word != "same"]
    rows = [("case", "time after / before", "baseline", "verdict")]
    rows += [(v.case, _text(v.ours), _text(v.baseline), v.word) for v in shown]
    same = len(verdicts) - len(shown)
    end = f"{same} of {len(verdicts)} case(s) the same within noise"
    return "\n".join([*(tables.aligned(rows) if shown else []), end])


def _text(change: Change | None) -> str:
    return "-" if change is None else f"{change.ratio:.3f} (noise {100 * change.noise:.1f} %)"


def _by_case(records: Sequence[Record]) -> dict[str, Record]:
    """By what was measured; of the same case in several suites the first."""
    found: dict[str, Record] = {}
    for record in records:
        if OURS in record.get("variants", {}):
            found.setdefault(tables.label(record), record)
    return found


def _verdict(case: str, before: Record, after: Record, tolerance: float) -> Verdict:
    ours = _change(before, after, OURS)
    if ours is None:
        had_time, has_time = ("seconds" in r["variants"][OURS] for r in (before, after))
        return Verdict(case, "failed" if had_time else "new" if has_time else "same")
    # Two dense ways that are as fast take turns at being the fastest: either tells of the machine.
    changes = (_change(before, after, record.get("baseline")) for record in (after, before))
    baseline = next((change for change in changes if change is not None), None)
    if not ours.exceeds(tolerance):
        return Verdict(case, "same", ours, baseline)
    if baseline is not None:
        noise = math.hypot(ours.noise, baseline.noise)
        against = Change(ours.ratio / baseline.ratio, noise)
        same_way = (ours.ratio > 1) == (against.ratio > 1)
        if not (same_way and against.exceeds(tolerance)):
            return Verdict(case, "machine", ours, baseline)
    return Verdict(case, "slower" if ours.ratio > 1 else "faster", ours, baseline)


def _change(before: Record, after: Record, name: str | None) -> Change | None:
    variants = [record["variants"].get(name, {}) for record in (before, after)]
    if not all("seconds" in variant for variant in variants):
        return None
    old, new = (variant["seconds"] for variant in variants)
    errors = [_error(old, before["rounds"]), _error(new, after["rounds"])]
    return Change(new["median"] / old["median"], math.hypot(*errors))


def _error(spread: Mapping[str, float], samples: int) -> float:
    """Of a median, as a share of it."""
    deviation = (spread["p90"] - spread["p10"]) / spread["median"] / _DEVIATIONS_10_TO_90
    return _MEDIAN_ERROR * deviation / math.sqrt(max(1, min(samples, _MOST_SAMPLES)))
