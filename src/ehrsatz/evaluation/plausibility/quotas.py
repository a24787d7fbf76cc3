"""Whether everybody of a quota is who was asked for, counted again from the tables alone.

The index date of a person belongs to its number (`simulator.cohort.Cohort.index`); everything else is read from the
patients, conditions and medications as they were written: a condition counts where a row of it, of the wanted stage,
began by the index date and had not ended; an episode where it began by then; a drug where a course was open then.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl

from ehrsatz import clinical, terminology
from ehrsatz.parts import GroupPart, SimulatorPart
from ehrsatz.simulator.cohort import Cohort, Quota, day
from ehrsatz.simulator.edges import size
from ehrsatz.simulator.load import Modules, load_modules
from ehrsatz.simulator.module import Condition

Told = dict[str, Any]
Rows = list[tuple[str, str | None]]  # code and stage of a row; stage None: any


@lru_cache(maxsize=2)
def modules(folder: str | None) -> Modules:
    """Return the modules of a run, read once in each process."""
    return load_modules(folder)


def codes_of(entity: Any, stage: str | None = None) -> Rows:
    """Return which rows of `condition` are a condition or episode: its codes, and titles of stages."""
    stages = entity.stages if isinstance(entity, Condition) else ()
    if stage is not None:
        wanted = {stage.lower(), f"stage_{stage.lower()}", f"{entity.id}_{stage.lower()}"}
        stages = tuple(one for one in stages if one.id in wanted)
    if stages:
        return [(one.icd10 or entity.icd10, one.title) for one in stages]
    return [(entity.icd10, None)]


def quotas(tables: Mapping[str, pl.DataFrame], plan: SimulatorPart, seed: int, first: int, n: int) -> list[Told]:
    """Return for each group how many of a shard belong to it, and how many of those fit each thing asked for.

    Parameters
    ----------
    tables
        Of the clinical schema; patients in the order of their numbers.
    plan
        With the groups.
    seed
        Of the cohort.
    first
        Number of the first patient of the shard.
    n
        Patients of the whole cohort.
    """
    if not plan.groups:
        return []
    people = tables["patient"]
    number = np.arange(first, first + people.height, dtype=np.int64)
    reference = day(plan.reference)
    spans = [(reference, reference) if g.index is None else (day(g.index[0]), day(g.index[1])) for g in plan.groups]
    groups = tuple(Quota(g.n, -1, g.age, span) for g, span in zip(plan.groups, spans))
    cohort = Cohort(n, groups, (), reference, seed, reserved=size(plan.edge_cases))
    which, index = cohort.group(number), cohort.index(number)
    frame = people.select("patient_id", "birth_date", "sex").with_columns(
        pl.Series("index", index.astype(np.int64)).cast(pl.Int32).cast(pl.Date), group=pl.Series(which)
    )
    out = []
    for g, group in enumerate(plan.groups):
        here = frame.filter(pl.col("group") == g)
        fits = _fits(here, group, tables, plan) if here.height else {name: [] for name in _asked(group)}
        whole = np.ones(here.height, bool)
        for flags in fits.values():
            whole &= np.asarray(flags, bool)
        told = {name: int(np.count_nonzero(flags)) for name, flags in fits.items()}
        out.append({"people": here.height, "whole": int(whole.sum()) if here.height else 0, "fits": told})
    return out


def shares(tables: Mapping[str, pl.DataFrame], plan: SimulatorPart, seed: int, first: int, n: int) -> dict[str, Told]:
    """Return what the scenario's `prevalence` and `enrich` came to in a shard.

    Returns
    -------
    prevalence: id -> [living adults, those who have it on the reference date]. enrich: id -> [people chosen to have it,
    those of them who do, others who have it].
    """
    out: dict[str, Told] = {"prevalence": {}, "enrich": {}}
    if not plan.prevalence and not plan.enrich:
        return out
    people = tables["patient"]
    known = {one.id: one for one in modules(plan.modules).order}
    end = datetime.datetime.combine(plan.reference, datetime.time(23, 59, 59))
    born = people["birth_date"].cast(pl.Int32).to_numpy().astype(np.float64)
    alive = people["death_time"].is_null().to_numpy()
    adult = alive & (day(plan.reference) - born >= 18 * 365.25)
    for name in plan.prevalence:
        has = _having(tables, codes_of(known[name]), pl.col("abatement").is_null() | (pl.col("abatement") > end))
        out["prevalence"][name] = [int(adult.sum()), int((adult & has).sum())]
    number = np.arange(first, first + people.height, dtype=np.int64)
    reference = day(plan.reference)
    empty = tuple(Quota(g.n, -1, None, (reference, reference)) for g in plan.groups)
    enrich = tuple(plan.enrich.items())
    cohort = Cohort(n, empty, enrich, reference, seed, reserved=size(plan.edge_cases))
    pins = cohort.pins(number, born, (people["sex"] == "male").to_numpy().astype(np.int64), known)
    for name in plan.enrich:
        has = _having(tables, codes_of(known[name]), pl.lit(True))
        chosen = np.isfinite(pins[name].before) if name in pins else np.zeros(len(number), bool)
        out["enrich"][name] = [int(chosen.sum()), int((chosen & has).sum()), int((~chosen & has).sum())]
    return out


def _having(tables: Mapping[str, pl.DataFrame], rows: Rows, test: pl.Expr) -> Any:
    """Return which patients (N,) have a row of `condition` that is meant and passes a test."""
    found = tables["condition"].filter(among(rows) & test)["patient_id"].unique()
    return tables["patient"]["patient_id"].is_in(found.implode()).to_numpy()


def among(rows: Rows) -> pl.Expr:
    """Return whether a row of `condition` is one of these codes and stages."""
    return pl.any_horizontal(
        *[(pl.col("code") == code) & (True if stage is None else pl.col("stage") == stage) for code, stage in rows]
    )


def asked(plan: SimulatorPart) -> list[Told]:
    """Return what each group asks for: n and a description."""
    return [{"n": group.n, "words": _words(group)} for group in plan.groups]


def _asked(group: GroupPart) -> list[str]:
    out = []
    if group.sex is not None:
        out.append("sex")
    if group.age is not None:
        out.append("age")
    out += [f"condition {one.id}{f', stage {one.stage}' if one.stage else ''}" for one in group.conditions]
    out += [f"without {name}" for name in group.without]
    return out + [f"medication {name}" for name in group.medications]


def _words(group: GroupPart) -> str:
    words = [{"female": "women", "male": "men", None: "people"}[group.sex]]
    if group.age is not None:
        words.append(f"of {group.age[0]:g} to {group.age[1]:g}")
    kinds = [f"{one.id}{f' {one.stage}' if one.stage else ''}" for one in group.conditions]
    words += [f"with {' and '.join(kinds)}"] if kinds else []
    words += [f"without {' or '.join(group.without)}"] if group.without else []
    words += [f"on {' and '.join(group.medications)}"] if group.medications else []
    if group.index is not None:
        words.append(f"at a day from {group.index[0]} to {group.index[1]}")
    return " ".join(words)


def _fits(
    here: pl.DataFrame, group: GroupPart, tables: Mapping[str, pl.DataFrame], plan: SimulatorPart
) -> dict[str, Any]:
    """Return name -> one flag per person of a group."""
    out: dict[str, Any] = {}
    if group.sex is not None:
        out["sex"] = (here["sex"] == group.sex).to_numpy()
    if group.age is not None:
        age = ((here["index"] - here["birth_date"]).dt.total_days() / 365.25).to_numpy()
        slack = 2 / 365.25  # whole days
        out["age"] = (age >= group.age[0] - slack) & (age <= group.age[1] + slack)
    known = {one.id: one for one in modules(plan.modules).order}
    mine = here.select("patient_id", "index").with_row_index("row")
    rows = tables["condition"].join(mine, on="patient_id")
    end = pl.col("index").cast(pl.Datetime("us")) + datetime.timedelta(days=1)

    def flags(found: pl.Series) -> Any:
        flag = np.zeros(here.height, bool)
        flag[found.unique().to_numpy()] = True
        return flag

    for one in group.conditions:
        entity = known[one.id]
        test = among(codes_of(entity, one.stage)) & (pl.col("onset") < end)
        if isinstance(entity, Condition):
            begun = pl.col("index").cast(pl.Datetime("us"))
            test &= pl.col("abatement").is_null() | (pl.col("abatement") >= begun)
        name = f"condition {one.id}{f', stage {one.stage}' if one.stage else ''}"
        out[name] = flags(rows.filter(test)["row"])
        if one.onset is not None:
            began = rows.filter(among(codes_of(entity))).select("row", pl.col("onset").dt.date())
            if isinstance(entity, Condition) and entity.stages:  # later rows are later stages
                began = began.group_by("row").agg(pl.col("onset").min())
            out[name] &= flags(began.filter(pl.col("onset").is_between(*one.onset))["row"])
    for name in group.without:
        out[f"without {name}"] = ~flags(rows.filter(among(codes_of(known[name])))["row"])
    drugs = tables["medication"].join(mine, on="patient_id")
    begun = pl.col("index").cast(pl.Datetime("us"))
    for word in group.medications:
        taken = pl.col("code").is_in(_drugs(word, plan)) & (pl.col("start") < end)
        taken &= pl.col("stop").is_null() | (pl.col("stop") >= begun)
        out[f"medication {word}"] = flags(drugs.filter(taken)["row"])
    return out


def _drugs(word: str, plan: SimulatorPart) -> list[str]:
    """Return the RxNorm codes that a medication's name means, as `simulator.cohort` reads it."""
    display = terminology.codes().display
    return sorted(
        {
            one.rxnorm
            for entity in modules(plan.modules).order
            for one in entity.treatments
            if word.casefold() in {one.id, one.rxnorm}
            or word.casefold() in display(clinical.RXNORM, one.rxnorm).casefold()
        }
    )
