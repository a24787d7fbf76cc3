"""Do the intervals of the combining rules cover? Populations drawn, sampled, synthesised, analysed, 4,000 times over.

    python -m benchmarks.evidence.coverage [--repetitions 4000] [--generators]

Each repetition draws n real subjects with x ~ N(1, 2^2) and y = 0.5 + 0.3 x + N(0, 1), makes m synthetic copies of k
subjects, regresses y on x in each copy, and asks whether the combined 95 % interval holds the population's slope and
the population's mean of y. Synthesis is "plug-in" (both models fitted once, all rows drawn from the fit), "posterior"
(both models drawn anew from their posterior for each copy) or "partial" (x is real; half of the y are drawn from the
posterior of a model of that half, as Reiter 2003 asks for). `--generators` does the same with this package's own
generators in place of "plug-in".
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.utility.combining import Rule, combine
from ehrsatz.seeds import stream

Array = NDArray[np.float64]
SLOPE, MEAN = 0.3, 0.5 + 0.3 * 1.0
LOW, HIGH = 0.93, 0.97


@dataclass(frozen=True)
class Case:
    """One line of the table; `wrong` says why the rule does not fit the copies, where it does not."""

    rule: Rule
    synthesis: str
    m: int
    n: int
    k: int
    wrong: str = ""


CASES = (
    Case("plug-in", "plug-in", 1, 200, 200),
    Case("plug-in", "plug-in", 5, 200, 200),
    Case("plug-in", "plug-in", 5, 200, 100),
    Case("plug-in", "plug-in", 5, 200, 800),
    Case("proper", "posterior", 1, 200, 200),
    Case("proper", "posterior", 5, 200, 200),
    Case("proper", "posterior", 5, 200, 400),
    Case("fully", "posterior", 10, 200, 2000),
    Case("fully", "posterior", 50, 200, 200),
    Case("fully", "posterior", 100, 200, 200),
    Case("partially", "partial", 2, 200, 200),
    Case("partially", "partial", 5, 200, 200),
    Case("partially", "plug-in", 5, 200, 200),
    Case("fully", "posterior", 10, 200, 200, "too few copies of this size"),
    Case("fully", "plug-in", 50, 200, 200, "one fit behind all copies"),
    Case("plug-in", "posterior", 1, 200, 200, "a draw of the model per copy"),
)


@dataclass(frozen=True)
class Found:
    """Shares of intervals that hold the truth, and their widths over those of the real data's intervals.

    widths
        5 %, 50 % and 95 % quantile.
    """

    slope: float
    mean: float
    widths: tuple[float, float, float]

    @property
    def holds(self) -> bool:
        """Whether both are covered at 93 to 97 %."""
        return min(self.slope, self.mean) >= LOW and max(self.slope, self.mean) <= HIGH

    def line(self) -> str:
        """Return the columns of the table."""
        widths = " / ".join(f"{one:.2f}" if one < 100 else "> 100" for one in self.widths)
        return f"{100 * self.slope:.1f} % | {100 * self.mean:.1f} % | {widths}"


def sampled(rng: np.random.Generator, r: int, n: int) -> tuple[Array, Array]:
    """Return r real samples of n subjects as two arrays (r, n)."""
    x = rng.normal(1.0, 2.0, (r, n))
    return x, 0.5 + SLOPE * x + rng.normal(size=(r, n))


def analysed(x: Array, y: Array) -> tuple[Array, Array]:
    """Return slope and mean (..., 2) and their variances (..., 2) by least squares along the last axis."""
    n = x.shape[-1]
    dx, dy = x - x.mean(-1, keepdims=True), y - y.mean(-1, keepdims=True)
    sxx, sxy, syy = (dx**2).sum(-1), (dx * dy).sum(-1), (dy**2).sum(-1)
    slope = sxy / sxx
    variance = (syy - slope * sxy) / (n - 2) / sxx
    return np.stack([slope, y.mean(-1)], -1), np.stack([variance, syy / (n - 1) / n], -1)


def synthesised(rng: np.random.Generator, x: Array, y: Array, how: str, m: int, k: int) -> tuple[Array, Array]:
    """Return m copies of each of r samples as two arrays (r, m, k)."""
    r, n = x.shape
    mx, my = x.mean(1)[:, None, None], y.mean(1)[:, None, None]
    dx, dy = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    sxx = (dx**2).sum(1)[:, None, None]
    slope = (dx * dy).sum(1)[:, None, None] / sxx
    residual = (dy**2).sum(1)[:, None, None] - slope**2 * sxx
    if how == "plug-in":
        at = mx + np.sqrt(sxx / (n - 1)) * rng.standard_normal((r, m, k))
        return at, my + slope * (at - mx) + np.sqrt(residual / (n - 2)) * rng.standard_normal((r, m, k))
    if how == "partial":
        assert k == n
        replaced = np.arange(n) % 2 == 0
        _, drawn = synthesised(rng, x[:, replaced], y[:, replaced], "posterior y", m, n // 2)
        out = np.repeat(y[:, None, :], m, axis=1)
        out[..., replaced] = drawn
        return np.broadcast_to(x[:, None, :], out.shape), out
    one = (r, m, 1)  # one draw of the parameters per copy, flat priors
    sigma2 = residual / rng.chisquare(n - 2, one)
    b1 = slope + np.sqrt(sigma2 / sxx) * rng.standard_normal(one)
    b0 = my + np.sqrt(sigma2 / n) * rng.standard_normal(one)
    at = np.broadcast_to(x[:, None, :], (r, m, n))
    if how == "posterior":
        tau2 = sxx / rng.chisquare(n - 1, one)
        at = mx + np.sqrt(tau2 / n) * rng.standard_normal(one) + np.sqrt(tau2) * rng.standard_normal((r, m, k))
    return at, b0 + b1 * (at - mx) + np.sqrt(sigma2) * rng.standard_normal(at.shape)


def coverage(case: Case, repetitions: int, seed: int) -> Found:
    """Return how often the intervals of one case hold the truth.

    Parameters
    ----------
    case
        Rule, synthesis and sizes.
    repetitions
        Populations drawn.
    seed
        Decides every draw.
    """
    rng = stream(seed, "coverage", case.rule, case.synthesis, case.m, case.k)
    truth = np.array([SLOPE, MEAN])
    hits, widths, done = np.zeros(2), [], 0
    while done < repetitions:
        r = min(repetitions - done, max(1, 2_000_000 // (case.m * max(case.n, case.k))))
        x, y = sampled(rng, r, case.n)
        q, u = analysed(*synthesised(rng, x, y, case.synthesis, case.m, case.k))  # (r, m, 2)
        flat = [np.moveaxis(one, 1, 0).reshape(case.m, -1) for one in (q, u)]  # (m, r 2)
        both = combine(flat[0], flat[1], rule=case.rule, n_real=case.n, n_synthetic=case.k)
        ends = both.interval().reshape(r, 2, 2)
        hits += ((ends[..., 0] <= truth) & (truth <= ends[..., 1])).sum(0)
        real = 2 * 1.959963984540054 * np.sqrt(analysed(x, y)[1])
        widths.append(((ends[..., 1] - ends[..., 0]) / real).ravel())
        done += r
    return Found(*(float(one) for one in hits / repetitions), _quantiles(widths))


def _quantiles(widths: list[Array]) -> tuple[float, float, float]:
    low, middle, high = np.quantile(np.concatenate([one.ravel() for one in widths]), [0.05, 0.5, 0.95])
    return float(low), float(middle), float(high)


def of_generators(repetitions: int, seed: int) -> Iterator[tuple[str, int, Found]]:
    """Give the coverage of the plug-in rule over copies of this package's own generators."""
    import polars as pl

    from ehrsatz import generator
    from ehrsatz.dataset import Dataset
    from ehrsatz.provenance import Provenance
    from ehrsatz.schema import Column, Schema, Table

    schema = Schema("t", (Table("t", (Column("x", "number"), Column("y", "number"))),))
    n, m = 400, 5
    for name in ("copula", "trees"):
        hits, widths = np.zeros(2), []
        for i in range(repetitions):
            x, y = sampled(stream(seed, "coverage", name, i), 1, n)
            real = Dataset(schema, {"t": pl.DataFrame({"x": x[0], "y": y[0]})}, Provenance("real"))
            copies = generator(name).fit(real, seed=i).sample(n * m, seed=i + 1).table
            parts = [copies[c].to_numpy().reshape(m, n) for c in ("x", "y")]
            both = combine(*analysed(*parts), rule="plug-in", n_real=n, n_synthetic=n)
            ends = both.interval()
            hits += (ends[:, 0] <= [SLOPE, MEAN]) & (ends[:, 1] >= [SLOPE, MEAN])
            own = 2 * 1.959963984540054 * np.sqrt(analysed(x[0], y[0])[1])
            widths.append((ends[:, 1] - ends[:, 0]) / own)
        yield name, m, Found(*(float(one) for one in hits / repetitions), _quantiles(widths))


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=4000)
    parser.add_argument("--generators", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    print("| rule | copies made by | m | n | k | slope covered | mean covered | width / real, 5-50-95 % | holds |")
    print("|---|---|---|---|---|---|---|---|---|")
    for case in CASES:
        one = coverage(case, asked.repetitions, asked.seed)
        holds = ("yes" if one.holds else "no") + (f" ({case.wrong})" if case.wrong else "")
        print(
            f"| {case.rule} | {case.synthesis} | {case.m} | {case.n} | {case.k} | {one.line()} | {holds} |", flush=True
        )
    if asked.generators:
        for name, m, one in of_generators(max(100, asked.repetitions // 10), asked.seed):
            print(f"| plug-in | {name} | {m} | 400 | 400 | {one.line()} | {'yes' if one.holds else 'no'} |", flush=True)


if __name__ == "__main__":
    main()
