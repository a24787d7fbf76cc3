"""Checks modules against each other and against the names and codes they may use.

What a module's form alone can say (unknown keys, sums, missing sources) is `module.py`'s; here are unknown factors,
conditions, processes, panels and items, codes, and parts that point at each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ehrsatz.clinical import ICD10CM, LOINC, RXNORM, SNOMED
from ehrsatz.errors import nearest
from ehrsatz.simulator.facts import ATTRIBUTES, GIVEN, Facts
from ehrsatz.simulator.module import (
    Condition,
    Course,
    Effect,
    Episode,
    Imaging,
    Module,
    Procedure,
    Risk,
    Screening,
    Sex,
    Table,
    Treatment,
)

SEXES: tuple[Sex, Sex] = ("female", "male")
Found = Iterator[tuple[str, str]]  # place, what is wrong


def crosscheck(modules: Iterable[Module], facts: Facts, loose: Iterable[str] = ()) -> list[str]:
    """Return what is wrong in modules that are sound by themselves, each with file and place.

    Parameters
    ----------
    modules
        All that will be used together.
    facts
        Names and codes that they may use.
    loose
        Ids that stand in files which could not be read as modules: they are taken as known.
    """
    modules = tuple(modules)
    conditions = {one.id for module in modules for one in module.conditions}
    stages = {one.id: tuple(s.id for s in one.stages) for module in modules for one in module.conditions}
    episodes = {one.id for module in modules for one in module.episodes}
    check = _Check(facts, frozenset(conditions), frozenset(episodes), frozenset(loose), stages)
    return [f"{module.module}.json: {place}: {words}" for module in modules for place, words in check.module(module)]


@dataclass(frozen=True)
class _Check:
    facts: Facts
    conditions: frozenset[str]
    episodes: frozenset[str]
    loose: frozenset[str]
    stages: Mapping[str, tuple[str, ...]]

    def module(self, module: Module) -> Found:
        for condition in module.conditions:
            place = f"conditions.{condition.id}"
            yield from self.condition(place, condition)
        for episode in module.episodes:
            yield from self.episode(f"episodes.{episode.id}", episode)
        yield from _twice("screenings", [one.id for one in module.screenings])
        for one in module.screenings:
            yield from self.screening(f"screenings.{one.id}", one)

    # ------------------------------------------------------------------ whole entities
    def condition(self, at: str, one: Condition) -> Found:
        yield from self.entity(at, one)
        tables = {"prevalence": one.prevalence, "incidence": one.incidence, "birth": one.birth}
        for name, table in tables.items():
            if table is not None:
                yield from self.table(f"{at}.{name}", table, one.sex, share=name != "incidence")
        stages = [stage.id for stage in one.stages]
        yield from _twice(f"{at}.stages", stages)
        for stage in one.stages:
            here = f"{at}.stages.{stage.id}"
            yield from self.codes(here, icd10=stage.icd10, snomed=stage.snomed)
            yield from self.risks(here, stage.risk)
            yield from self.effects(here, stage.effects)
            if stage.mortality is not None:
                yield from self.code(f"{here}.mortality.cause", ICD10CM, stage.mortality.cause)
        if one.stages and one.stages[0].per_year:
            yield f"{at}.stages.{stages[0]}.per_year", "expected none on the first stage: nothing comes before it"
        if one.mortality is not None:
            yield from self.code(f"{at}.mortality.cause", ICD10CM, one.mortality.cause)
        yield from self.effects(at, one.effects)
        for i, watch in enumerate(one.monitoring):
            yield from self.named(f"{at}.monitoring.{i}.panel", "panel", watch.panel, self.facts.panels)
        staged = [(f"treatments.{drug.id}", drug.stage) for drug in one.treatments]
        staged += [(f"procedures.{i}", part.stage) for i, part in enumerate(one.procedures)]
        staged += [(f"imaging.{i}", part.stage) for i, part in enumerate(one.imaging)]
        staged += [(f"monitoring.{i}", part.stage) for i, part in enumerate(one.monitoring)]
        untils = [("remission_until_stage", one.remission_until_stage)]
        untils += [(f"treatments.{drug.id}.until_stage", drug.until_stage) for drug in one.treatments]
        untils += [(f"procedures.{i}.until_stage", part.until_stage) for i, part in enumerate(one.procedures)]
        untils += [(f"imaging.{i}.until_stage", part.until_stage) for i, part in enumerate(one.imaging)]
        for name, wanted in untils:
            if wanted is not None and wanted not in stages:
                yield f"{at}.{name}", f"unknown stage '{wanted}'.{nearest(wanted, stages)}"
        for name, wanted in staged:
            if wanted is not None and wanted not in stages:
                yield f"{at}.{name}.stage", f"unknown stage '{wanted}'.{nearest(wanted, stages)}"
        before: list[str] = []
        for drug in one.treatments:
            here = f"{at}.treatments.{drug.id}"
            if drug.after is not None and drug.after not in before:
                yield f"{here}.after", f"no treatment '{drug.after}' stands before it.{nearest(drug.after, before)}"
            if drug.after is not None and not drug.per_year:
                yield here, "expected per_year with `after`"
            if drug.instead and drug.after is None:
                yield f"{here}.instead", "expected `after` with it"
            before.append(drug.id)
        if one.found_at == "inpatient" and one.found_stay_days is None:
            yield f"{at}.found_stay_days", "expected where found_at is inpatient"
        if one.careplan is not None:
            yield from self.code(f"{at}.careplan.snomed", SNOMED, one.careplan.snomed)
            for i, goal in enumerate(one.careplan.goals):
                if goal.item is not None:
                    yield from self.named(f"{at}.careplan.goals.{i}.item", "item", goal.item, self.facts.items)

    def episode(self, at: str, one: Episode) -> Found:
        yield from self.entity(at, one)
        yield from self.table(f"{at}.incidence", one.incidence, one.sex, share=False)
        if one.fatality is not None:
            yield from self.table(f"{at}.fatality", one.fatality, one.sex, share=True)
        yield from self.effects(f"{at}.course", one.course)
        for i, panel in enumerate(one.panels):
            yield from self.named(f"{at}.panels.{i}", "panel", panel, self.facts.panels)
        for drug in one.treatments:
            here = f"{at}.treatments.{drug.id}"
            if drug.days is None:
                yield f"{here}.days", "expected in an episode: its drugs are courses"
            if drug.after is not None or drug.stage is not None:
                yield here, "expected neither `after` nor `stage` in an episode"
        lasting = [(f"procedures.{i}", part.stage, part.per_year) for i, part in enumerate(one.procedures)]
        lasting += [(f"imaging.{i}", part.stage, part.per_year) for i, part in enumerate(one.imaging)]
        for name, stage, per_year in lasting:
            if stage is not None or per_year is not None:
                yield f"{at}.{name}", "expected neither `stage` nor `per_year` in an episode"

    def entity(self, at: str, one: Condition | Episode) -> Found:
        yield from self.codes(at, icd10=one.icd10, snomed=one.snomed)
        for kind, names in (("requires", one.requires), ("excludes", one.excludes)):
            for i, name in enumerate(names):
                yield from self.known(f"{at}.{kind}.{i}", name)
                if name == one.id:
                    yield f"{at}.{kind}.{i}", "expected another condition than itself"
        yield from self.risks(at, one.risk)
        yield from _twice(f"{at}.treatments", [drug.id for drug in one.treatments])
        for drug in one.treatments:
            yield from self.treatment(f"{at}.treatments.{drug.id}", drug)
        for i, procedure in enumerate(one.procedures):
            yield from self.procedure(f"{at}.procedures.{i}", procedure)
        for i, image in enumerate(one.imaging):
            yield from self.imaging(f"{at}.imaging.{i}", image)

    # ------------------------------------------------------------------ parts
    def screening(self, at: str, one: Screening) -> Found:
        if one.panel is not None:
            yield from self.named(f"{at}.panel", "panel", one.panel, self.facts.panels)
        if one.procedure is not None:
            yield from self.procedure(f"{at}.procedure", one.procedure)
        if one.imaging is not None:
            yield from self.imaging(f"{at}.imaging", one.imaging)
        for name, levels in one.among.items():
            known = ATTRIBUTES.get(name)
            if known is None:
                yield f"{at}.among", f"unknown attribute '{name}'.{nearest(name, ATTRIBUTES)}"
                continue
            for level in levels:
                if level not in known:
                    yield f"{at}.among.{name}", f"{name} has no level '{level}'.{nearest(level, known)}"
        for i, name in enumerate(one.excludes):
            yield from self.known(f"{at}.excludes.{i}", name)

    def treatment(self, at: str, drug: Treatment) -> Found:
        yield from self.code(f"{at}.rxnorm", RXNORM, drug.rxnorm)
        yield from self.effects(at, drug.effects)
        if drug.above is not None:
            yield from self.named(f"{at}.above", "process", drug.above[0], self.facts.processes)
        if drug.stop_per_year and not drug.stop_reasons:
            yield f"{at}.stop_reasons", "expected with stop_per_year"
        for i, panel in enumerate(drug.monitor):
            yield from self.named(f"{at}.monitor.{i}", "panel", panel, self.facts.panels)
        for i, word in enumerate(drug.avoid):
            name, _, stage = word.partition(".")
            yield from self.known(f"{at}.avoid.{i}", name)
            if stage and name not in self.loose and stage not in (stages := self.stages.get(name, ())):
                yield f"{at}.avoid.{i}", f"'{name}' has no stage '{stage}'.{nearest(stage, stages)}"

    def procedure(self, at: str, one: Procedure) -> Found:
        yield from self.code(f"{at}.snomed", SNOMED, one.snomed)
        if one.device is not None:
            yield from self.code(f"{at}.device", SNOMED, one.device)
        yield from self.effects(at, one.effects)
        if one.visit == "inpatient" and one.stay_days is None:
            yield f"{at}.stay_days", "expected where visit is inpatient"

    def imaging(self, at: str, one: Imaging) -> Found:
        if one.snomed is not None:
            yield from self.code(f"{at}.snomed", SNOMED, one.snomed)
        if one.loinc is not None:
            yield from self.code(f"{at}.loinc", LOINC, one.loinc)
        for i, text in enumerate(one.report):
            rest = text
            for place in ("{age}", "{sex}", "{side}"):
                rest = rest.replace(place, "")
            if "{" in rest or "}" in rest:
                yield f"{at}.report.{i}", "expected no places but {age}, {sex} and {side}"

    def risks(self, at: str, risks: Iterable[Risk]) -> Found:
        for i, risk in enumerate(risks):
            yield from self.risk(f"{at}.risk.{i}", risk)

    def risk(self, at: str, risk: Risk) -> Found:
        name, dot, kind = risk.factor.partition(".")
        processes = self.facts.processes
        if name in ATTRIBUTES:
            if risk.levels is None:
                yield at, f"expected levels: {', '.join(ATTRIBUTES[name])}"
            for level in risk.levels or ():
                if level not in ATTRIBUTES[name]:
                    yield f"{at}.levels", f"{name} has no level '{level}'.{nearest(level, ATTRIBUTES[name])}"
            return
        if risk.levels is not None:
            yield f"{at}.levels", f"expected levels of an attribute: {', '.join(ATTRIBUTES)}"
        elif name in self.conditions | self.episodes | self.loose or name in GIVEN:
            if dot or risk.per is not None:
                yield at, "expected neither '.treated' nor `per` and `start`: it is no process"
            if risk.within_years is not None and name in self.conditions:
                yield f"{at}.within_years", "expected with an episode; of a condition, say `ever` or nothing"
        elif processes is None or name in processes or name == "adherence":
            if risk.per is None:
                yield at, "expected `per` and `start` with a process"
            if risk.ever or risk.within_years is not None:
                yield at, "expected neither `ever` nor `within_years` with a process"
            if dot and kind != "treated":
                yield f"{at}.factor", f"expected nothing but '.treated' after a process, found '.{kind}'"
        else:
            known = {*self.conditions, *self.episodes, *processes, *ATTRIBUTES, *GIVEN, "adherence"}
            yield f"{at}.factor", f"unknown factor '{name}'.{nearest(name, sorted(known))}"

    def effects(self, at: str, effects: Iterable[Effect | Course]) -> Found:
        for i, effect in enumerate(effects):
            kind = "effects." if isinstance(effect, Effect) else ""
            yield from self.named(f"{at}.{kind}{i}.process", "process", effect.process, self.facts.processes)

    def table(self, at: str, table: Table, sex: str | None, *, share: bool) -> Found:
        for one in SEXES:
            figures = table.of(one)
            if share and max(figures) > 1:
                yield at, f"expected shares up to 1, found more among the figures of '{one}'"
            if sex is not None and one != sex and max(figures) > 0:
                yield at, f"expected no figures of '{one}': the sex is '{sex}'"

    # ------------------------------------------------------------------ names and codes
    def known(self, at: str, name: str) -> Found:
        known = self.conditions | self.episodes
        if name not in known and name not in self.loose and name not in GIVEN:
            yield at, f"unknown condition or episode '{name}'.{nearest(name, sorted({*known, *GIVEN}))}"

    def named(self, at: str, kind: str, name: str, known: frozenset[str] | None) -> Found:
        if known is not None and name not in known:
            yield at, f"unknown {kind} '{name}'.{nearest(name, sorted(known))}"

    def codes(self, at: str, *, icd10: str | None, snomed: str | None) -> Found:
        if icd10 is not None:
            yield from self.code(f"{at}.icd10", ICD10CM, icd10)
        if snomed is not None:
            yield from self.code(f"{at}.snomed", SNOMED, snomed)

    def code(self, at: str, system: str, code: str) -> Found:
        if self.facts.has_code is not None and not self.facts.has_code(system, code):
            yield at, f"{system} has no code '{code}' in the lists that come with the package"


def _twice(at: str, names: list[str]) -> Found:
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield at, f"the id '{name}' stands {names.count(name)} times"
