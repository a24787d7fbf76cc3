"""The figures that `trees` with default settings is to reach, and whether the results reach them."""

from __future__ import annotations

from statistics import mean
from typing import Any

from benchmarks.tabular.figures import show, values

NEURAL = ("sdv_ctgan", "sdv_tvae", "mostly")
TIMES_CHEAPER = 30
QUIET = 0.55
EVERY, TIGHT = "adversarial, of every peer", f"adversarial, of peers with mia_max <= {QUIET}"
PAIRS = (("copula", "sdv_copula"), ("bayesnet", "synthcity_bayesnet"))

# data set -> measure -> (at most or at least, bound)
LIMITS: dict[str, dict[str, tuple[str, float]]] = {
    "diabetes130": {
        "adversarial": ("<=", 0.55),
        "coverage": (">=", 0.95),
        "quality": (">=", 0.98),
        "gap": ("<=", 0.014),
        "dcr_share": ("<=", 0.53),
        "mia_max": ("<=", 0.53),
        "rules": (">=", 1.0),
        "fit_cpu_s": ("<=", 6.0),
        "sample_cpu_s per 10,000": ("<=", 1.0),
        "peak_mb": ("<=", 400.0),
    },
    "nhefs": {
        "adversarial": ("<=", 0.64),
        "coverage": (">=", 0.96),
        "gap": ("<=", 0.0),
        "dcr_share": ("<=", 0.56),
        "mia_max": ("<=", 0.54),
        "rules": (">=", 0.99),
        "fit_cpu_s": ("<=", 2.0),
    },
    "breast_cancer_wdbc": {
        "adversarial": ("<=", 0.70),
        "coverage": (">=", 0.91),
        "gap": ("<=", 0.003),
        "dcr_share": ("<=", 0.55),
        "mia_max": ("<=", 0.57),
        "rules": (">=", 0.99),
        "fit_cpu_s": ("<=", 1.0),
    },
}
SMALLER = {
    "gap": ("<=", 0.02),
    "dcr_share": ("<=", 0.55),
    "mia_max": ("<=", 0.55),
    "rules": (">=", 1.0),
}
LIMITS |= {name: dict(SMALLER) for name in ("support2", "heart_disease_uci", "maternal_health")}

ADVERSARIAL = (EVERY, TIGHT)  # names of rows that hold another bound for the same measure


def value(entry: dict[str, Any], measure: str) -> float | None:
    """Return the mean of a measure over the repetitions of a run, None where it was not measured."""
    found = values(entry, "adversarial" if measure in ADVERSARIAL else measure)
    return mean(found) if found else None


def markdown(results: dict[str, dict[str, Any]]) -> str:
    """Return the table of figures to reach, reached and missed, for the run `trees`.

    Parameters
    ----------
    results
        Data set -> its results, as `table.load` gives them.
    """
    lines = ["| data | measure | to reach | reached | |", "|---|---|---|---|---|"]
    for name, limits in LIMITS.items():
        runs = results.get(name, {"runs": {}})["runs"]
        entry = runs.get("trees", {})
        if value(entry, "adversarial") is None:
            continue
        wanted = dict(limits)
        peers = [entry for entry in runs.values() if entry["kind"] == "peer" and value(entry, "adversarial")]
        costs = [cost for peer in NEURAL if (cost := value(runs.get(peer, {}), "fit_cpu_s"))]
        if "adversarial" not in wanted and peers:
            tight = [peer for peer in peers if (value(peer, "mia_max") or 1) <= QUIET]
            best = {EVERY: peers, TIGHT: tight}
            bounds = {
                name: min(value(peer, "adversarial") or 1 for peer in group) for name, group in best.items() if group
            }
            wanted = {name: ("<", bound) for name, bound in bounds.items()} | wanted
        if "fit_cpu_s" not in wanted and costs:
            wanted |= {"fit_cpu_s": ("<=", min(costs) / TIMES_CHEAPER)}
        for measure, (sign, bound) in wanted.items():
            reached = value(entry, measure)
            assert reached is not None
            met = {"<=": reached <= bound, "<": reached < bound, ">=": reached >= bound}[sign]
            verdict = "met" if met else "**missed**"
            lines.append(f"| {name} | {measure} | {sign} {show(bound)} | {show(reached)} | {verdict} |")
    return "\n".join(lines) + "\n"


def rivals(results: dict[str, dict[str, Any]]) -> str:
    """Return our copula beside SDV's and our network beside synthcity's, on the measures that both have."""
    measures = ("adversarial", "coverage", "gap", "dcr_share", "mia_max")
    lines = [f"| data | run | {' | '.join(measures)} |", "|" + "---|" * (len(measures) + 2)]
    for name, found in results.items():
        for pair in PAIRS:
            entries = [found["runs"].get(run, {}) for run in pair]
            if any(value(entry, "adversarial") is None for entry in entries):
                continue
            for run, entry in zip(pair, entries):
                cells = (show(mean(values(entry, measure))) for measure in measures)
                lines.append(f"| {name} | {run} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
