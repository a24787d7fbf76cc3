"""Values that hang on what people have: cultures, virus tests, tumour stage, receptors, dipsticks, markers of disease.

Where nothing of the kind is there, an item keeps its distribution among the healthy.

References
----------
Positive blood cultures in sepsis, about 0.4: Phua J et al., Crit Care 2013;17:R202, doi:10.1186/cc12896 (58.5 % with
any culture, blood less). Organisms of urine: Flores-Mireles AL et al., Nat Rev Microbiol 2015;13:269,
doi:10.1038/nrmicro3432 (uncomplicated: E. coli 75 %, Klebsiella 6 %, S. saprophyticus 6 %, Enterococcus 5 %, Proteus
2 %). Dipsticks in infection of the urinary tract (nitrite 0.5, leukocytes 0.8): Deville WL et al., BMC Urol 2004;4:4.
Receptors of breast cancer (oestrogen 0.83, HER2 0.15): Howlader N et al., J Natl Cancer Inst 2014;106:dju055. Lipase
above three times normal in pancreatitis: Banks PA et al., Gut 2013;62:102. NYHA: no formula exists; class by ejection
fraction and NT-proBNP is assumed, as are the shares without a name here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ehrsatz.simulator.history import Floats, History, Ints, during
from ehrsatz.simulator.module import Condition

Value = Callable[[Ints], Floats]
URINARY = ("cystitis", "pyelonephritis")
SEPTIC = ("sepsis", "septic_shock")
GROUP = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "limited": 3, "extensive": 4}  # words of tumor_stage
BLOOD_GROWS = 0.4
BLOOD = (0.30, 0.27, 0.16, 0.17, 0.10)  # E. coli, S. aureus, Klebsiella, pneumococcus, Enterococcus; assumed
URINE_GROWS = 0.85
URINE = (0.75, 0.08, 0.04, 0.06, 0.07)  # E. coli, Klebsiella, Proteus, Enterococcus, S. saprophyticus
DIPSTICK = {  # item: shares of its words in a urinary infection; nitrite and leukocytes as above, blood assumed
    "urine_nitrite": (0.5, 0.5),
    "urine_leukocytes": (0.2, 0.1, 0.25, 0.25, 0.2),
    "urine_blood": (0.45, 0.2, 0.2, 0.1, 0.05),
}
RECEPTORS = {"estrogen_receptor": 0.83, "progesterone_receptor": 0.72, "her2": 0.15}
A_SHARE = 0.75  # of influenza that is type A: CDC FluView, seasons 2010 to 2024, between 0.6 and 0.9


def known(
    history: History, person: Ints, time: Floats, ordinal: Ints, healthy: Callable[[str, Ints], Floats]
) -> dict[str, Value]:
    """Return item -> function of rows of specimens that gives its value.

    Parameters
    ----------
    history
        Of the shard.
    person, time, ordinal
        (S,) of the specimens.
    healthy
        Item and rows -> the value of people without the disease.
    """
    seen = _Seen(history, person, time, ordinal, healthy)
    out: dict[str, Value] = {
        "blood_culture": lambda rows: seen.culture("blood_culture", rows, SEPTIC, BLOOD_GROWS, BLOOD),
        "urine_culture": lambda rows: seen.culture("urine_culture", rows, URINARY, URINE_GROWS, URINE),
        "urine_ketones": seen.ketones,
        "tumor_stage": seen.stage,
        "nyha": seen.class_,
        "influenza_a": lambda rows: seen.influenza(rows, first=True),
        "influenza_b": lambda rows: seen.influenza(rows, first=False),
        "hbsag": lambda rows: seen.has(rows, ("chronic_hepatitis_b",)).astype(np.float64),
        "hcv_antibody": lambda rows: seen.has(rows, ("chronic_hepatitis_c",)).astype(np.float64),
        "rheumatoid_factor": lambda rows: seen.times("rheumatoid_factor", rows, ("rheumatoid_arthritis",), 9.0, 0.7),
        "lipase": lambda rows: seen.acute("lipase", rows, ("pancreatitis",), 22.0),
        "amylase": lambda rows: seen.acute("amylase", rows, ("pancreatitis",), 9.0),
        "ammonia": lambda rows: seen.acute("ammonia", rows, ("hepatic_encephalopathy",), 3.5),
        "cea": lambda rows: seen.times("cea", rows, ("colorectal_cancer", "lung_cancer"), 5.0, 0.5),
    }
    for name, shares in DIPSTICK.items():
        out[name] = lambda rows, name=name, shares=shares: seen.dipstick(name, rows, shares)  # type: ignore[misc]
    for name, share in RECEPTORS.items():
        out[name] = lambda rows, name=name, share=share: seen.own(name, rows, share)  # type: ignore[misc]
    return out


class _Seen:
    def __init__(
        self, history: History, person: Ints, time: Floats, ordinal: Ints, healthy: Callable[[str, Ints], Floats]
    ) -> None:
        self.history, self.person, self.time, self.ordinal, self.healthy = history, person, time, ordinal, healthy

    def within(self, rows: Ints, names: tuple[str, ...]) -> np.ndarray:
        """Return whether rows (R,) lie in an episode of one of these kinds."""
        out = np.zeros(len(rows), bool)
        for name in names:
            attacks = self.history.attacks.get(name)
            if attacks is not None:
                out |= during(attacks, self.person[rows], self.time[rows])
        return out

    def has(self, rows: Ints, names: tuple[str, ...]) -> np.ndarray:
        """Return whether people of rows (R,) have one of these conditions then."""
        out = np.zeros(len(rows), bool)
        for name in names:
            out |= self._since(rows, name)[1]
        return out

    def _since(self, rows: Ints, name: str) -> tuple[Ints, np.ndarray]:
        """Return the row of the spell of each person (R,), and whether it lasts then."""
        spells = self.history.spells.get(name)
        if spells is None or not len(spells.person):
            return np.zeros(len(rows), np.int64), np.zeros(len(rows), bool)
        at = np.minimum(np.searchsorted(spells.person, self.person[rows]), len(spells.person) - 1)
        stop = np.where(np.isnan(spells.stop), np.inf, spells.stop)[at]
        time = self.time[rows]
        return at, (spells.person[at] == self.person[rows]) & (spells.onset[at] <= time) & (time < stop)

    def chance(self, name: str, rows: Ints, *, own: bool = False, width: int = 1) -> Floats:
        """Return uniform numbers of specimens (R, width), with `own` of people."""
        return self.history.draw(f"finding {name}", self.person[rows], None if own else self.ordinal[rows], width=width)

    def culture(self, name: str, rows: Ints, when: tuple[str, ...], grows: float, shares: tuple[float, ...]) -> Floats:
        """Return what grows: the same organism in all cultures of a month."""
        month = np.maximum(self.time[rows] // 30, 0).astype(np.int64)
        u = self.history.draw(f"finding {name}", self.person[rows], month, width=2)
        which = 1 + np.searchsorted(np.cumsum(shares)[:-1], u[:, 1], side="right")
        return np.where(self.within(rows, when), np.where(u[:, 0] < grows, which, 0), self.healthy(name, rows))

    def dipstick(self, name: str, rows: Ints, shares: tuple[float, ...]) -> Floats:
        ill = np.searchsorted(np.cumsum(shares)[:-1], self.chance(name, rows)[:, 0], side="right")
        return np.where(self.within(rows, URINARY), ill, self.healthy(name, rows))

    def ketones(self, rows: Ints) -> Floats:
        acid = self.within(rows, ("type1_ketoacidosis", "type2_ketoacidosis"))
        return np.where(
            acid, 3.0 + (self.chance("urine_ketones", rows)[:, 0] < 0.7), self.healthy("urine_ketones", rows)
        )

    def influenza(self, rows: Ints, *, first: bool) -> Floats:
        """Return whether the virus is found: one type in an episode."""
        month = np.maximum(self.time[rows] // 30, 0).astype(np.int64)
        a = self.history.draw("finding influenza", self.person[rows], month)[:, 0] < A_SHARE
        return (self.within(rows, ("influenza", "influenza_severe")) & (a == first)).astype(np.float64)

    def stage(self, rows: Ints) -> Floats:
        """Return the highest stage group of cancers that people have then, NaN: none."""
        out = np.full(len(rows), np.nan)
        for name, spells in self.history.spells.items():
            place = _places(spells.condition)
            if not len(place) or not len(spells.person):
                continue
            at, lasts = self._since(rows, name)
            reached = spells.stage_from[at] <= self.time[rows][:, None]  # NaN and inf: not
            group = np.where(reached, place[None, :], np.nan)
            out = np.fmax(out, np.where(lasts, np.fmax.reduce(group, axis=1), np.nan))
        return out

    def class_(self, rows: Ints) -> Floats:
        """Return the NYHA class, 0 to 3: worse with a weak and a strained heart."""
        at = self.history.levels.at
        weak = np.clip((55 - at("lvef", self.person[rows], self.time[rows])) / 20, 0, 2)
        strained = np.clip(np.log10(np.maximum(at("ntprobnp", self.person[rows], self.time[rows]), 1)) - 2.5, 0, 1.5)
        spread = 1.2 * (self.chance("nyha", rows)[:, 0] - 0.5)
        return np.clip(np.round(0.3 + 0.5 * weak + 0.9 * strained + spread), 0, 3)

    def own(self, name: str, rows: Ints, share: float) -> Floats:
        return (self.chance(name, rows, own=True)[:, 0] < share).astype(np.float64)

    def times(self, name: str, rows: Ints, conditions: tuple[str, ...], factor: float, share: float) -> Floats:
        """Return a marker that is raised in a share of those who have a condition."""
        raised = self.has(rows, conditions) & (self.chance(name, rows, own=True)[:, 0] < share)
        return self.healthy(name, rows) * np.where(raised, factor, 1.0)

    def acute(self, name: str, rows: Ints, episodes: tuple[str, ...], factor: float) -> Floats:
        """Return a marker that is raised in an episode, more or less."""
        spread = np.exp(1.0 * (self.chance(name, rows)[:, 0] - 0.5))
        return self.healthy(name, rows) * np.where(self.within(rows, episodes), factor * spread, 1.0)


def _places(condition: Condition) -> Floats:
    """Return the word of tumor_stage that each stage (S,) of a cancer stands for; none of what is no cancer."""
    ids = [stage.id for stage in condition.stages]
    if not condition.icd10.startswith("C") or not set(ids) <= set(GROUP):
        return np.zeros(0)
    return np.array([GROUP[one] for one in ids], np.float64)
