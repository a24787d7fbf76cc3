"""A cohort's tally beside the published figures: what was wanted, what was reached, and whether chance explains it.

Every figure reached has a 95 % interval of sampling: a cohort is one draw, and a small one misses a figure by chance
alone. `within` is true where the figure lies within the bound, false where the whole interval lies outside it, and None
where the cohort is too small to say, or where nobody was counted.

References
----------
Dickman PW et al., Stat Med 2004;23:51, doi:10.1002/sim.1597 (relative survival). Fisher RA, Metron 1921;1:3
(correlations).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.clinical import SEXES
from ehrsatz.errors import DataError
from ehrsatz.simulator.sampling import LEAST, Z, expectancy, garwood, mantel, quantile, wilson
from ehrsatz.simulator.tally import OLDEST, Tally, edges, population, tally
from ehrsatz.simulator.targets import Targets, class_positions, rates, seen, targets

__all__ = ["Comparison", "Tally", "compare", "tally"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """One published figure and what the cohort reached.

    Parameters
    ----------
    kind
        prevalence, incidence, quantile, correlation, life_expectancy, survival, multimorbidity, pair, use or cause.
    target
        What it is, in words.
    published, reached
        The figures; None: fewer than five people were counted.
    n
        People, person-years, stays or deaths that it rests on.
    interval
        Of what was reached, 95 %.
    bound
        How far off it may be, in the figure's own unit.
    within
        See the module.
    source
        Who published it.
    """

    kind: str
    target: str
    published: float
    reached: float | None
    n: float
    interval: tuple[float, float] | None
    bound: float
    within: bool | None
    source: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)


def compare(found: Tally, held: Targets | None = None) -> list[Comparison]:
    """Return every published figure beside what a cohort reached.

    Parameters
    ----------
    found
        Merged over all shards.
    held
        The figures that the tally was made for; None means those of the United States with the bundled modules.

    Raises
    ------
    DataError
        When the tally was made for other figures.
    """
    plan = held or targets()
    if found.fingerprint != plan.fingerprint:
        raise DataError(
            "Expected a tally that was made for these figures.",
            "It was made for others.",
            "Count the shards again with this version and these modules.",
        )
    parts: tuple[Callable[[Tally, Targets], Iterator[Comparison]], ...] = (_prevalence, _incidence, _life)
    if plan.whole:
        parts += (_quantiles, _correlations, _survival, _several, _pairs, _use, _causes)
    return [one for part in parts for one in part(found, plan)]


def _told(
    kind: str,
    words: str,
    published: float,
    reached: float | None,
    n: float,
    interval: tuple[float, float] | None,
    bound: float,
    source: str,
) -> Comparison:
    within: bool | None = None
    if reached is not None and interval is not None:
        if abs(reached - published) <= bound * (1 + 1e-9):
            within = True
        elif interval[0] > published + bound or interval[1] < published - bound:
            within = False
    return Comparison(kind, words, published, reached, n, interval, bound, within, source)


def _bands(ages: Sequence[float]) -> list[str]:
    high = [f" to {after:g}" for after in ages[1:]]
    return [f"{low:g}{end}" for low, end in zip(ages, [*high, " and older"], strict=True)]


def _pooled(values: Floats, ages: Sequence[float]) -> Floats:
    """Return sums of (2, OLDEST) within bands (2, bands); band edges between whole ages count to the lower age."""
    band = np.searchsorted(np.array(ages), np.arange(OLDEST), side="right") - 1
    out = np.zeros((2, len(ages)))
    for age in np.flatnonzero(band >= 0):
        out[:, band[age]] += values[:, age]
    return out


def _prevalence(found: Tally, plan: Targets) -> Iterator[Comparison]:
    bound = plan.published.bounds.prevalence
    for one in plan.prevalent:
        table = one.prevalence
        assert table is not None
        people = _pooled(found.counts["people"], table.ages)
        cases = found.counts[f"has {one.id}"]
        source = plan.source(one.id, table)
        names = _bands(table.ages)
        for s, sex in enumerate(SEXES):
            if one.sex is not None and one.sex != sex:
                continue
            figures = table.of(sex)  # type: ignore[arg-type]
            for k, published in enumerate(figures):
                if published == 0:
                    continue
                n, c = float(people[s, k]), float(cases[s, k])
                words = f"{one.title}, {_sex(sex)}, {names[k]}"
                few = n * published < LEAST and c < LEAST
                reached = None if few or n == 0 else c / n
                interval = None if few or n == 0 else wilson(c, n)
                yield _told("prevalence", words, published, reached, n, interval, bound * published, source)


def _sex(sex: str) -> str:
    return {"female": "women", "male": "men"}[sex]


def _incidence(found: Tally, plan: Targets) -> Iterator[Comparison]:
    """Compare new cases with those that the published rates mean for the person-years lived."""
    bound = plan.published.bounds.incidence
    ages = np.arange(OLDEST, dtype=np.float64) + 0.5
    for one in plan.incident:
        table = rates(one)
        band = np.searchsorted(np.array(table.ages), ages, side="right") - 1
        source = plan.source(one.id, table)
        for s, sex in enumerate(SEXES):
            if one.sex is not None and one.sex != sex:
                continue
            figures = np.array(table.of(sex), np.float64)  # type: ignore[arg-type]
            rate = np.where(band >= 0, figures[np.maximum(band, 0)], 0) * seen(one, ages)
            years = found.counts["years"][s]
            expected, cases = float((years * rate).sum()), float(found.counts[f"new {one.id}"][s].sum())
            total = float(years.sum())
            if expected == 0:
                continue
            published = 1e3 * expected / total
            few = max(expected, cases) < LEAST
            low, high = garwood(cases)
            yield _told(
                "incidence",
                f"{one.title}, {_sex(sex)}, new cases per 1,000 and year",
                published,
                None if few else 1e3 * cases / total,
                total,
                None if few else (1e3 * low / total, 1e3 * high / total),
                bound * published,
                source,
            )


def _quantiles(found: Tally, plan: Targets) -> Iterator[Comparison]:
    bound = plan.published.bounds.quantile
    titles = {item.id: (item.title, item.unit) for item in plan.items}
    for name in plan.published.quantiles.items:
        ages, figures, source = plan.quantiles(name)
        grid, counts = edges(plan, name), found.counts[f"values {name}"]
        title, unit = titles[name]
        for s, sex in enumerate(SEXES):
            for k, band in enumerate(_bands(ages)):
                n = float(counts[s, k].sum())
                for p, probability in enumerate(plan.published.quantiles.probabilities):
                    published = float(figures[s, k, p])
                    few = n * min(probability, 1 - probability) < LEAST
                    step = Z * float(np.sqrt(probability * (1 - probability) / max(n, 1)))
                    at = [quantile(counts[s, k], grid, max(min(probability + d, 1), 0)) for d in (-step, 0, step)]
                    yield _told(
                        "quantile",
                        f"{title} ({unit}), {_sex(sex)}, {band}, {100 * probability:g} %",
                        published,
                        None if few else at[1],
                        n,
                        None if few else (at[0], at[2]),
                        bound * abs(published),
                        source,
                    )


def _correlations(found: Tally, plan: Targets) -> Iterator[Comparison]:
    for k, pair in enumerate(plan.correlated):
        sums = found.counts["correlations"][k]
        _, _, apart = population(pair.population or "")
        some = sums if apart else sums.sum(axis=0, keepdims=True)
        n = some[:, 0]
        reached, interval = None, None
        if n.sum() >= 10 and (n >= LEAST).all():
            x, y, xx, yy, xy = (some[:, column] for column in range(1, 6))
            r = (n * xy - x * y) / np.sqrt((n * xx - x * x) * (n * yy - y * y))
            weight = np.maximum(n - 3, 1)
            z = float((np.arctanh(np.clip(r, -0.9999, 0.9999)) * weight).sum() / weight.sum())
            step = Z / float(np.sqrt(weight.sum()))
            reached, interval = float(np.tanh(z)), (float(np.tanh(z - step)), float(np.tanh(z + step)))
        words = f"{pair.pair[0]} with {pair.pair[1]}, {pair.population}"
        source = plan.processes.sources[pair.source]
        published = float(pair.published or 0)
        bound = plan.published.bounds.correlation
        yield _told("correlation", words, published, reached, float(n.sum()), interval, bound, source)


def _life(found: Tally, plan: Targets) -> Iterator[Comparison]:
    source = plan.life.sources[plan.life.table.source]
    for s, sex in enumerate(SEXES):
        years = found.counts["years"][s]
        at = plan.life.table.at
        value, error = expectancy(found.counts["deaths"][s], years, at)
        few = found.counts["deaths"][s].sum() < LEAST or not np.isfinite(value)
        published = float(plan.life.table.expectancy[sex])  # type: ignore[index]
        yield _told(
            "life_expectancy",
            f"Life expectancy at {at} years, {_sex(sex)}",
            published,
            None if few else value,
            float(years.sum()),
            None if few else (value - Z * error, value + Z * error),
            plan.published.bounds.life_expectancy,
            source,
        )


def _survival(found: Tally, plan: Targets) -> Iterator[Comparison]:
    for one, cells in zip(plan.published.survival, found.counts["survival"], strict=True):
        years, deaths, expected = cells.T
        reached, interval = None, None
        if (years > 0).all() and deaths.sum() >= LEAST:
            hazard = float(((deaths - expected) / years).sum())
            error = float(np.sqrt((deaths / years**2).sum()))
            reached = float(np.exp(-hazard))
            interval = (float(np.exp(-hazard - Z * error)), float(np.exp(-hazard + Z * error)))
        condition = plan.modules.conditions.get(one.condition)
        title = one.condition if condition is None else condition.title
        stage = "" if one.stage is None else f", stage {one.stage.upper()}"
        words = f"{title}{stage}, five-year relative survival"
        bound = plan.published.bounds.survival
        source = plan.published.sources[one.source]
        yield _told("survival", words, one.share, reached, float(years.sum()), interval, bound, source)


def _several(found: Tally, plan: Targets) -> Iterator[Comparison]:
    for one in plan.published.multimorbidity:
        low, high = int(one.ages[0]), min(int(one.ages[1]), OLDEST)
        table = found.counts["several"][:, low:high]
        table = table if one.sex is None else table[[SEXES.index(one.sex)]]
        n, cases = float(table.sum()), float(table[:, :, one.least :].sum())
        who = "adults" if one.sex is None else _sex(one.sex)
        words = f"{one.least} or more of {len(plan.published.groups)} chronic conditions, {who}, {low} and older"
        bound = plan.published.bounds.multimorbidity * one.share
        few = n < LEAST
        interval = None if few else wilson(cases, n)
        source = plan.published.sources[one.source]
        yield _told("multimorbidity", words, one.share, None if few else cases / n, n, interval, bound, source)


def _pairs(found: Tally, plan: Targets) -> Iterator[Comparison]:
    for one, table in zip(plan.published.pairs, found.counts["pairs"], strict=True):
        words = f"{' or '.join(one.of)} with {' or '.join(one.having)}"
        n = float(table[:, :, 1].sum())
        source = plan.published.sources[one.source]
        if one.share is not None:
            cases = float(table[:, :, 1, 1].sum())
            few = n < LEAST
            interval = None if few else wilson(cases, n)
            reached, published, words = (None if few else cases / n), one.share, f"{words}, share"
        else:
            assert one.odds_ratio is not None
            reached, interval = mantel(table.reshape(-1, 2, 2))
            published, words = one.odds_ratio, f"{words}, odds ratio within age and sex"
        bound = plan.published.bounds.pair * published
        yield _told("pair", words, published, reached, n, interval, bound, source)


def _use(found: Tally, plan: Targets) -> Iterator[Comparison]:
    bounds, sources = plan.published.bounds, plan.published.sources
    for one in plan.published.use:
        low, high = int(one.ages[0]), min(int(one.ages[1]), OLDEST)
        years = float(found.counts["years"][:, low:high].sum())
        cases = float(found.counts["encounters"][class_positions(one.classes), :, low:high].sum())
        ages = f"{low} to {high}" if high < OLDEST else f"{low} and older"
        few = years < LEAST
        interval = None if few else tuple(end / years for end in garwood(cases))
        reached = None if few else cases / years
        words = f"{one.title} per person and year, {ages}"
        bound = bounds.use * one.per_year
        yield _told("use", words, one.per_year, reached, years, interval, bound, sources[one.source])  # type: ignore[arg-type]
    stays = plan.published.stays
    n, days, squares, index, back = found.counts["stays"]
    few = n < LEAST
    mean = days / n if n else 0.0
    step = Z * float(np.sqrt(max(squares / n - mean**2, 0) / n)) if n else 0.0
    yield _told(
        "use",
        "Mean length of a hospital stay in days",
        stays.mean_days,
        None if few else float(mean),
        float(n),
        None if few else (float(mean - step), float(mean + step)),
        bounds.use * stays.mean_days,
        sources[stays.days_source],
    )
    few = index < LEAST
    yield _told(
        "use",
        "Stays followed by another within 30 days, share",
        stays.readmitted,
        None if few else float(back / index),
        float(index),
        None if few else wilson(float(back), float(index)),
        bounds.use * stays.readmitted,
        sources[stays.readmitted_source],
    )


def _causes(found: Tally, plan: Targets) -> Iterator[Comparison]:
    counts = found.counts["causes"]
    n = float(counts.sum())
    for one, cases in zip(plan.published.causes, counts, strict=False):
        few = n * one.share < LEAST and cases < LEAST
        yield _told(
            "cause",
            f"Deaths by {one.title}, share of all",
            one.share,
            None if few else float(cases / n),
            n,
            None if few else wilson(float(cases), n),
            plan.published.bounds.cause * one.share,
            plan.published.sources[one.source],
        )
