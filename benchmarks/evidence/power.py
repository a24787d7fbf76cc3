"""Does the leak detector find planted leaks, and only those? Power and false alarms over many populations.

    python -m benchmarks.evidence.power [--rows 1000] [--seeds 100] [--all]

Each seed draws train, holdout and one synthetic table per case, of equal size (`planted.cases`). A case is found where
the p-value of `leak` is at most 0.05. `--all` also prints what the older measures say of the same tables: how often
`dcr_share` and `membership` are above 0.5 by more than their interval explains.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from benchmarks.evidence.planted import cases, dataset, patients
from ehrsatz.evaluation.intervals import wilson
from ehrsatz.evaluation.privacy.copies import DcrShare
from ehrsatz.evaluation.privacy.leak import Leak
from ehrsatz.evaluation.privacy.membership import Membership
from ehrsatz.evaluation.space import Comparison
from ehrsatz.seeds import stream

ALARM = 0.05


def main() -> None:
    """Print one line per case."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--all", action="store_true")
    given = parser.parse_args()
    found: dict[str, list[float]] = {}
    others: dict[str, list[tuple[bool, bool]]] = {}
    is_leak: dict[str, str] = {}
    started = time.process_time()
    for seed in range(given.first, given.first + given.seeds):
        rng = stream(seed, "power", given.rows)
        train, holdout = patients(given.rows, rng), patients(given.rows, rng)
        for name, (leaks, make) in cases(train, given.rows, rng).items():
            comparison = Comparison.of(dataset(train), dataset(holdout), dataset(make()))
            score = Leak().compute_on(comparison, seed=seed)
            assert score.value is not None
            found.setdefault(name, []).append(score.value)
            is_leak[name] = leaks
            if given.all:
                seen = []
                for metric in (DcrShare(), Membership()):
                    other = metric.compute_on(comparison, seed=seed)
                    seen.append(other.interval is not None and other.interval[0] > 0.5)
                others.setdefault(name, []).append((seen[0], seen[1]))
    used = (time.process_time() - started) / max(1, sum(map(len, found.values())))
    print(
        f"{given.rows:,} rows in each table, {given.seeds} populations, {used:.2f} CPU s each, alarm at p <= {ALARM}\n"
    )
    print(f"| case | leaks | found | 95 % interval | median p |{' dcr_share | membership |' if given.all else ''}")
    print(f"|---|---|---|---|---|{'---|---|' if given.all else ''}")
    for name, values in found.items():
        hits = int((np.array(values) <= ALARM).sum())
        low, high = wilson(hits, len(values))
        line = f"| {name} | {is_leak[name]} | {hits / len(values):.2f} | {low:.2f} to {high:.2f} | "
        line += f"{np.median(values):.3f} |"
        if given.all:
            shares = np.mean(others[name], axis=0)
            line += f" {shares[0]:.2f} | {shares[1]:.2f} |"
        print(line)


if __name__ == "__main__":
    main()
