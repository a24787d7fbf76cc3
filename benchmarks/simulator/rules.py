"""Every bundled scenario, 10,000 patients each: rules, codes, keys, and stays without length. Every row is checked.

python -m benchmarks.simulator.rules [--n 10000] [--scenarios clinic maternity] [--processes 2]
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.simulator.results import keep, kept

MOST = 12  # warnings that the table names


def scaled(name: str, n: int) -> tuple[Any, int]:
    """Return a bundled scenario's part for n patients, its groups in proportion, and the number that makes."""
    from ehrsatz.scenario import Scenario

    plan = Scenario.cohort(name)
    part = plan.simulator
    assert part is not None
    size = plan.n or sum(group.n for group in part.groups)
    share = n / size
    groups = tuple(one.model_copy(update={"n": max(1, int(one.n * share + 1e-9))}) for one in part.groups)
    return part.model_copy(update={"groups": groups}), max(n, sum(one.n for one in groups))


def measure(name: str, n: int) -> dict[str, Any]:
    """Make a scenario's patients shard by shard and check every row of each."""
    from ehrsatz.rules.check import severity_of
    from ehrsatz.simulation import maker
    from ehrsatz.simulator.shards import SIZE

    begun = time.process_time()
    part, size = scaled(name, n)
    make = maker(part, size, 0)
    found: dict[str, Any] | None = None
    rows = 0
    for first in range(0, size, SIZE):
        made = make.dataset(first, min(SIZE, size - first))
        rows += sum(frame.height for frame in made.tables.values())
        found = added(found, checked(made, part))
    assert found is not None
    broken = {key: value for key, value in found["rules"].items() if value[1]}
    return {
        "patients": size,
        "rows": rows,
        "cpu_s": round(time.process_time() - begun, 1),
        "rules": len(found["rules"]),
        "errors": {key: value for key, value in broken.items() if severity_of(key) == "error"},
        "warnings": {key: value for key, value in broken.items() if severity_of(key) != "error"},
        "codes": {key: one["unknown"] for key, one in found["codes"].items()},
        "named": {key: one["named"] for key, one in found["codes"].items() if one["named"]},
        "coded": sum(one["checked"] for one in found["codes"].values()),
        "dangling": {key: value[1] for key, value in found["keys"].items() if value[1]},
        "links": sum(value[0] for value in found["keys"].values()),
        "stays": found["stays"],
    }


def checked(made: Any, part: Any) -> dict[str, Any]:
    """Return what rules, codes, keys and stays say of every row of a shard."""
    import datetime

    from ehrsatz.evaluation.plausibility import structure
    from ehrsatz.rules.mapping import mapping_of
    from ehrsatz.rules.view import View

    view = View(made.tables, mapping_of("clinical", {}), datetime.datetime.combine(part.reference, datetime.time.max))
    return {
        "rules": structure.rules(made, view),
        "codes": structure.codes(view, part),
        "keys": structure.dangling(view),
        "stays": structure.stays(view),
    }


def added(a: dict[str, Any] | None, b: dict[str, Any]) -> dict[str, Any]:
    """Add up what was found in two shards."""
    from ehrsatz.evaluation.plausibility import structure

    if a is None:
        return b
    out: dict[str, Any] = {"codes": structure.merged_codes(a["codes"], b["codes"])}
    for kind in ("rules", "keys"):
        names = {**a[kind], **b[kind]}
        out[kind] = {
            name: [x + y for x, y in zip(a[kind].get(name, (0, 0)), b[kind].get(name, (0, 0)), strict=True)]
            for name in names
        }
    out["stays"] = [x + y for x, y in zip(a["stays"], b["stays"], strict=True)]
    return out


def table(results: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| scenario | patients | rows | rules that apply | rows that break an error rule | unknown codes "
        "| dangling keys | stays without length | rows with a warning |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    warned: dict[str, list[int]] = {}
    details = []
    for name, one in results.items():
        errors = sum(value[1] for value in one["errors"].values())
        codes, keys = sum(one["codes"].values()), sum(one["dangling"].values())
        bad = [f"**{value:,}**" if value else "0" for value in (errors, codes, keys, one["stays"][1])]
        warnings = sum(value[1] for value in one["warnings"].values())
        lines.append(
            f"| `{name}` | {one['patients']:,} | {one['rows']:,} | {one['rules']} | {' | '.join(bad)} | {warnings:,} |"
        )
        for key, (checked, failed) in one["warnings"].items():
            held = warned.setdefault(key, [0, 0])
            held[0], held[1] = held[0] + checked, held[1] + failed
        details += [
            f"- `{name}`: `{key}` broken by {failed:,} of {checked:,} rows."
            for key, (checked, failed) in one["errors"].items()
        ]
        details += [f"- `{name}`: dangling {key}: {failed:,}." for key, failed in one["dangling"].items()]
        details += [
            f"- `{name}`: {system} unknown: {', '.join(list(codes_)[:5])}." for system, codes_ in one["named"].items()
        ]
    lines.append("")
    if details:
        lines += ["What is broken:", "", *details, ""]
    if warned:
        worst = sorted(warned.items(), key=lambda item: -item[1][1] / max(item[1][0], 1))[:MOST]
        told = "; ".join(f"`{key}` {failed:,} of {checked:,}" for key, (checked, failed) in worst)
        lines += [f"Warnings of all scenarios together, by share of the rows they apply to: {told}.", ""]
    return "\n".join(lines)


def run(n: int, names: list[str], processes: int, place: Path) -> dict[str, Any]:
    """Measure scenarios, each in a process of its own, and keep what was found as soon as it is there."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for name, found in zip(names, pool.map(partial(measure, n=n), names), strict=True):
            keep(place, name, found)
    return kept(place)


def main() -> None:
    """Measure what is asked for, keep it, print it."""
    from ehrsatz.scenario import COHORTS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=10_000, help="patients of each scenario")
    parser.add_argument("--scenarios", nargs="+", default=list(COHORTS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    print(table(run(given.n, given.scenarios, given.processes, given.results / "rules.json")))


if __name__ == "__main__":
    main()
