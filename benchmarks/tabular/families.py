"""Our learned families beside their peers, the other figures they are to reach, and where a peer is ahead of us."""

from __future__ import annotations

from statistics import mean
from typing import Any

from benchmarks.tabular.figures import BETTER, is_better, scored, show, spread, values

PAIRS = (
    ("vae", "sdv_tvae"),
    ("gan", "sdv_ctgan"),
    ("diffusion", "synthcity_ddpm"),
    ("autoregressive", "mostly"),
    ("forest", "arfpy"),
)
FAMILIES = (
    *("vae", "gan", "medgan", "vaegan", "flow", "diffusion", "latentdiffusion", "autoregressive"),
    *("forest", "kde", "gibbs", "ensemble"),
)
SHARE = 0.5  # of the peer's CPU seconds
SHOWN = ("adversarial", "tstr", "coverage", "mia_max", "fit_cpu_s")
MEMBERS, LEAST_ROWS = 0.53, 1_000
COLLAPSED = 0.8  # coverage below which a family must have warned
# run -> data set -> measure -> (at most or at least, bound)
LIMITS: dict[str, dict[str, dict[str, tuple[str, float]]]] = {
    "autoregressive": {
        "diabetes130": {"adversarial": ("<=", 0.65), "coverage": (">=", 0.93)},
        "nhefs": {"adversarial": ("<=", 0.75), "coverage": (">=", 0.93)},
    },
}
Results = dict[str, dict[str, Any]]


def pairs(results: Results) -> str:
    """Return the table of our families, each beside its peer, on the repetitions that both have.

    Parameters
    ----------
    results
        Data set -> its results, as `table.load` gives them.
    """
    head = ("data", "run", *(name.replace("_", " ") for name in SHOWN), "share of CPU", "seeds", "")
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for ours, peer in PAIRS:
        for one, found in results.items():
            mine, theirs = found["runs"].get(ours, {}), found["runs"].get(peer, {})
            if not scored(mine) or not theirs:
                continue
            seeds = sorted(set(scored(mine)) & set(scored(theirs)))
            ratio, verdict = _verdict(mine, theirs, seeds)
            own, other = (seeds, seeds) if seeds else (sorted(scored(mine)), [])
            lines.append(_line(one, f"**{ours}**", mine, own, ratio, verdict))
            lines.append(_line(one, peer, theirs, other, "", ""))
    return "\n".join(lines) + "\n"


def figures(results: Results) -> str:
    """Return the table of the other figures: bounds, collapse, membership, rules."""
    lines = ["| run | data | measure | to reach | reached | |", "|---|---|---|---|---|---|"]
    for run, sets in LIMITS.items():
        for one, limits in sets.items():
            for measure, (sign, bound) in limits.items():
                if reached := values(_entry(results, one, run), measure):
                    met = mean(reached) <= bound if sign == "<=" else mean(reached) >= bound
                    lines.append(_row(run, one, measure, f"{sign} {bound:g}", spread(reached), met))
    for run in ("vae", "gan"):
        entry = _entry(results, "breast_cancer_wdbc", run)
        if scored(entry):
            lines.append(_collapse(run, "breast_cancer_wdbc", entry))
    for one, found in results.items():
        for run in FAMILIES:
            entry = found["runs"].get(run, {})
            if scored(entry) and min(r["n_drawn"] for r in scored(entry).values()) >= LEAST_ROWS:
                free = values(found["runs"].get("columns", {}), "mia_max", list(scored(entry)))
                beside = f" (`columns`: {spread(free)})" if free else ""
                leaks = values(entry, "mia_max")
                shown = spread(leaks) + beside
                lines.append(_row(run, one, "mia_max", f"<= {MEMBERS:g}", shown, mean(leaks) <= MEMBERS))
    for run in FAMILIES:
        kept = [share for one in results for share in values(_entry(results, one, run), "rules")]
        if kept:
            lines.append(_row(run, "all", "rules, the least of all", ">= 1", f"{min(kept):.4f}", min(kept) >= 1))
    return "\n".join(lines) + "\n"


def losses(results: Results) -> str:
    """Return one line for every data set and measure in which a peer's mean beats the best of ours.

    Both on the repetitions that this peer has. A membership AUC says nothing below that of `columns`, which leak
    nothing: a peer is ahead there only where the best of ours is above it.
    """
    lines = []
    for one, found in results.items():
        kinds = {kind: {n: e for n, e in found["runs"].items() if e["kind"] == kind} for kind in ("ours", "peer")}
        for measure in BETTER:
            for peer, entry in kinds["peer"].items():
                theirs = values(entry, measure)
                seeds = sorted(scored(entry))
                mine = {n: values(e, measure, seeds) for n, e in kinds["ours"].items()}
                full = {n: mean(v) for n, v in mine.items() if v and len(v) == len(seeds)}
                if not full:
                    continue
                best = min(full, key=lambda n: full[n] if BETTER[measure] == "low" else -full[n])
                free = values(found["runs"].get("columns", {}), measure, seeds)
                at_floor = measure == "mia_max" and bool(free) and full[best] <= mean(free)
                if is_better(measure, mean(theirs), full[best]) and not at_floor:
                    lines.append(
                        f"- {one}, {measure}: {peer} {show(mean(theirs))}, ours at best {show(full[best])} "
                        f"(`{best}`){_aside(entry, kinds['ours'][best], measure, seeds)}"
                    )
    return "\n".join(lines or ["- Nowhere on these measures."]) + "\n"


def _entry(results: Results, one: str, run: str) -> dict[str, Any]:
    return results.get(one, {"runs": {}})["runs"].get(run, {})


def _verdict(mine: dict[str, Any], theirs: dict[str, Any], seeds: list[str]) -> tuple[str, str]:
    if not seeds:
        return "", "the peer has no score"
    ours, peer = ({m: mean(values(e, m, seeds)) for m in SHOWN} for e in (mine, theirs))
    ratio = ours["fit_cpu_s"] / peer["fit_cpu_s"]
    behind = [m for m in ("adversarial", "tstr") if not is_better(m, ours[m], peer[m])]
    behind += ["CPU"] if ratio > SHARE else []
    return f"{ratio:.2f}", f"**missed**: {', '.join(behind)}" if behind else "met"


def _line(one: str, run: str, entry: dict[str, Any], seeds: list[str], ratio: str, verdict: str) -> str:
    if not seeds:
        why = next(iter(entry["seeds"].values())).get("error", "no score of these repetitions")
        return f"| {one} | {run} | {' '.join(why.split()).replace('|', '/')[:140]} |" + " |" * (len(SHOWN) + 2)
    cut = " (cut)" if any(entry["seeds"][seed].get("status") == "cut" for seed in seeds) else ""
    cells = [spread(values(entry, measure, seeds)) for measure in SHOWN[:-1]]
    cells.append(show(mean(values(entry, SHOWN[-1], seeds))))
    return f"| {one} | {run}{cut} | {' | '.join(cells)} | {ratio} | {len(seeds)} | {verdict} |"


def _row(run: str, one: str, measure: str, wanted: str, reached: str, met: bool) -> str:
    return f"| {run} | {one} | {measure} | {wanted} | {reached} | {'met' if met else '**missed**'} |"


def _collapse(run: str, one: str, entry: dict[str, Any]) -> str:
    """Every repetition has to cover enough or to have warned."""
    records = scored(entry).values()
    silent = [r for r in records if r["coverage"] < COLLAPSED and not _warned(r)]
    warned = sum(r["coverage"] < COLLAPSED and _warned(r) for r in records)
    shown = spread(values(entry, "coverage")) + (f"; warned in {warned} of {len(records)}" if warned else "")
    return _row(run, one, "coverage, or a warning", f">= {COLLAPSED:g}", shown, not silent)


def _warned(record: dict[str, Any]) -> bool:
    return any(note.startswith("warned, TrainingWarning") for note in record.get("notes", ()))


def _aside(peer: dict[str, Any], ours: dict[str, Any], measure: str, seeds: list[str]) -> str:
    """Say what the peer's lead goes with: its membership risk where it is the higher one, and cuts."""
    cut = "; cut by the cap" if any(r.get("status") == "cut" for r in scored(peer).values()) else ""
    leaks = mean(values(peer, "mia_max", seeds)), mean(values(ours, "mia_max", seeds))
    if measure not in ("adversarial", "coverage", "quality", "tstr") or leaks[0] <= leaks[1]:
        return cut
    return f"; its membership AUC is {leaks[0]:.3f}, ours {leaks[1]:.3f}{cut}"
