"""A free cohort held against published figures: lives, prevalence, levels, correlations, use, causes of death.

    python -m benchmarks.simulator.fidelity [--n 30000] [--record-years 5] [--processes 2]

Figures and bounds are those of the report of a simulated cohort (simulator/data/targets.json); nothing is written to
disk on the way. A figure is judged where enough people stand behind it that chance alone does not decide.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial, reduce
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.simulator.results import keep, kept

WORST = 12  # figures that the table names, per kind
ASKED = {  # kind -> what is asked for
    "life_expectancy": "within 1 year",
    "prevalence": "25 named conditions by age band and sex within 15 %",
    "quantile": "within 3 % in the middle 90 %",
    "correlation": "20 within 0.1",
}
WORDS = {
    "life_expectancy": "life expectancy by sex",
    "prevalence": "prevalence by age band and sex",
    "incidence": "incidence by age band and sex",
    "quantile": "quantiles of measurements by age and sex",
    "correlation": "correlations",
    "multimorbidity": "multimorbidity",
    "pair": "pairs of conditions",
    "survival": "survival",
    "use": "visits and stays",
    "cause": "causes of death",
}


def part_of(record_years: float) -> Any:
    """Return the scenario: the clinic's, with so many years of routine care."""
    from ehrsatz.parts import SimulatorPart

    return SimulatorPart(record_years=record_years)


def count(firsts: Sequence[int], *, n: int, record_years: float) -> dict[str, Any]:
    """Make shards and return what is counted in them, added up."""
    from ehrsatz.evaluation.plausibility.glycaemia import glycaemia
    from ehrsatz.simulation import maker
    from ehrsatz.simulator.shards import SIZE
    from ehrsatz.simulator.tally import YEARS, tally
    from ehrsatz.simulator.targets import targets

    part = part_of(record_years)
    make, held = maker(part, n, 0), targets(part.locale, part.modules)
    found: dict[str, Any] | None = None
    for first in firsts:
        tables = make.dataset(first, min(SIZE, n - first)).tables
        counted = tally(tables, part.reference, held=held, years=min(YEARS, record_years))
        one = {
            "tally": counted.to_dict(),
            "glycaemia": glycaemia(tables["observation"], part.locale, points=False),
            "rows": sum(frame.height for frame in tables.values()),
        }
        found = one if found is None else both(found, one)
    assert found is not None
    return found


def both(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """Add up what was counted in two parts."""
    from ehrsatz.evaluation.plausibility.glycaemia import merged
    from ehrsatz.simulator.tally import Tally

    return {
        "tally": Tally.from_dict(a["tally"]).merge(Tally.from_dict(b["tally"])).to_dict(),
        "glycaemia": merged(a["glycaemia"], b["glycaemia"]),
        "rows": a["rows"] + b["rows"],
    }


def measure(n: int, record_years: float, processes: int) -> dict[str, Any]:
    """Make a cohort and return every published figure beside what it reached."""
    from ehrsatz.evaluation.plausibility.fits import can_judge
    from ehrsatz.evaluation.plausibility.glycaemia import line
    from ehrsatz.simulator.compare import compare
    from ehrsatz.simulator.shards import SIZE
    from ehrsatz.simulator.tally import Tally
    from ehrsatz.simulator.targets import targets

    begun = time.perf_counter()
    firsts = list(range(0, n, SIZE))
    parts = [one for one in (firsts[k::processes] for k in range(processes)) if one]
    with ProcessPoolExecutor(len(parts), mp_context=get_context("spawn")) as pool:
        found = reduce(both, pool.map(partial(count, n=n, record_years=record_years), parts))
    part = part_of(record_years)
    compared = compare(Tally.from_dict(found["tally"]), targets(part.locale, part.modules))
    return {
        "n": n,
        "record_years": record_years,
        "rows": found["rows"],
        "wall_s": round(time.perf_counter() - begun, 1),
        "glycaemia": line(found["glycaemia"]),
        "figures": [one.to_dict() | {"judged": can_judge(one)} for one in compared],
    }


def judged(found: Iterable[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Return the figures of a kind that are judged."""
    return [one for one in found if one["kind"] == kind and one["judged"]]


def conditions(found: dict[str, Any]) -> dict[str, tuple[int, int, int]]:
    """Return condition -> cells judged, within the bound, and within it or beyond it by chance."""
    out: dict[str, list[int]] = {}
    for one in judged(found["figures"], "prevalence"):
        held = out.setdefault(one["target"].rsplit(", ", 2)[0], [0, 0, 0])
        held[0] += 1
        held[1] += one["within"] is True
        held[2] += one["within"] is not False
    return {name: (a, b, c) for name, (a, b, c) in out.items()}


def table(found: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    figures = found["figures"]
    lines = [
        f"{found['n']:,} patients drawn freely, {found['record_years']:g} years of routine care, "
        f"{found['rows']:,} rows.",
        "",
        "| published figures | asked for | judged | within the bound | or beyond it by chance | off |",
        "|---|---|---|---|---|---|",
    ]
    for kind, words in WORDS.items():
        mine = judged(figures, kind)
        if not mine:
            continue
        exact = sum(one["within"] is True for one in mine)
        near = sum(one["within"] is not False for one in mine)
        lines.append(
            f"| {words} | {ASKED.get(kind, '')} | {len(mine)} | {exact} ({exact / len(mine):.0%}) "
            f"| {near} ({near / len(mine):.0%}) | {len(mine) - near} |"
        )
    each = conditions(found)
    whole = sum(value[2] == value[0] for value in each.values())
    strict = sum(value[1] == value[0] for value in each.values())
    lines += [
        "",
        f"Conditions whose judged cells all lie within 15 %: {strict} of {len(each)}; or beyond it by chance: {whole}.",
        "",
        *_glycaemia(found["glycaemia"]),
        *_lives(figures),
        *_measurements(figures),
    ]
    for kind, words in WORDS.items():
        off = sorted((one for one in judged(figures, kind) if one["within"] is False), key=_bounds, reverse=True)
        if off:
            told = "; ".join(f"{one['target']} {_figure(one)}" for one in off[:WORST])
            more = f"; and {len(off) - WORST} more" if len(off) > WORST else ""
            lines += [f"Off, {words}: {told}{more}.", ""]
    return "\n".join(lines)


def _glycaemia(line: dict[str, Any] | None) -> list[str]:
    if line is None:
        return ["HbA1c with mean glucose: not measured, too few patients have both.", ""]
    low, high = line["interval"]
    good = "met" if 0.8 <= line["r"] <= 0.95 else "**missed**"
    return [
        f"HbA1c with mean glucose over {line['n']:,} patients: r = {line['r']:.3f} ({low:.3f} to {high:.3f}; asked for "
        f"0.8 to 0.95: {good}), slope {line['slope']:.1f} mg/dL per % (ADAG 28.7); at the mean HbA1c of "
        f"{line['mean']:.2f} % glucose lies {line['off']:+.1f} mg/dL off the line.",
        "",
    ]


def _lives(figures: list[dict[str, Any]]) -> list[str]:
    out = []
    for one in judged(figures, "life_expectancy"):
        low, high = one["interval"]
        reached = f"{one['reached']:.2f} years ({low:.2f} to {high:.2f})"
        out.append(f"- {one['target']}: {reached}, published {one['published']:.2f}.")
    return [*out, ""] if out else []


def _measurements(figures: list[dict[str, Any]]) -> list[str]:
    every: dict[str, list[dict[str, Any]]] = {}
    for one in judged(figures, "quantile"):
        every.setdefault(one["target"].rsplit(", ", 3)[0], []).append(one)
    lines = [
        "| measurement | quantiles judged | within 3 % | or beyond it by chance | furthest |",
        "|---|---|---|---|---|",
    ]
    for name, mine in every.items():
        far = max(mine, key=lambda one: abs(one["reached"] / one["published"] - 1))
        exact = sum(one["within"] is True for one in mine)
        near = sum(one["within"] is not False for one in mine)
        place = ", ".join(far["target"].rsplit(", ", 3)[1:])
        lines.append(
            f"| {name} | {len(mine)} | {exact / len(mine):.0%} | {near / len(mine):.0%} | {place} {_figure(far)} |"
        )
    return [*lines, ""] if every else []


def _bounds(one: dict[str, Any]) -> float:
    return float(abs(one["reached"] - one["published"]) / one["bound"]) if one["bound"] else 0.0


def _figure(one: dict[str, Any]) -> str:
    return f"{one['reached']:.3g} for {one['published']:.3g}"


def main() -> None:
    """Measure, keep, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=30_000)
    parser.add_argument("--record-years", type=float, default=5.0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    place = given.results / "fidelity.json"
    keep(place, "clinic", measure(given.n, given.record_years, given.processes))
    print(table(kept(place)["clinic"]))


if __name__ == "__main__":
    main()
