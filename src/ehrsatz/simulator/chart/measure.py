"""Values of everything that is measured: levels with day-to-day variation, formulas of reported values, words."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy.special import ndtri

from ehrsatz.clinical import LOINC
from ehrsatz.simulator.catalogue import Catalogue, Item
from ehrsatz.simulator.chart import findings
from ehrsatz.simulator.chart.formulas import SIMPLE, creatinine, egfr, grade, percentile
from ehrsatz.simulator.chart.needs import Specimens
from ehrsatz.simulator.history import YEAR, Floats, History, Ints, during
from ehrsatz.simulator.records import Book, Encounters, Rows

EXTRA: Mapping[str, tuple[str, ...]] = {  # what is measured together besides the catalogue's panels
    "checkup": ("height", "weight", "bmi", "sbp", "dbp", "heart_rate"),
    "visit": ("weight", "sbp", "dbp", "heart_rate"),
    "acute": ("sbp", "dbp", "heart_rate", "resp_rate", "temperature", "spo2", "pain"),
    "pressure": ("sbp", "dbp", "heart_rate"),
    "fever": ("temperature", "heart_rate", "resp_rate", "spo2"),
    "stay_vitals": ("sbp", "dbp", "mean_pressure", "heart_rate", "resp_rate", "temperature", "spo2"),
    "baby": ("height", "weight", "head", "head_percentile", "weight_length_percentile"),
    "child": ("height", "weight", "bmi", "bmi_percentile"),
    "small": ("weight",),
}
BOUNDED = {
    "sbp": (40, 260),
    "dbp": (20, 150),
    "temperature": (32, 42.5),
    "spo2": (50, 100),
    "pain": (0, 10),
    "urine_ph": (4.6, 8.4),
    "urine_gravity": (1.001, 1.035),
    "dast10": (0, 10),
}
BELOW = {  # item -> what it lies below, by how much at the least
    "dbp": ("sbp", 12.0),
    "hdl": ("total_chol", 30.0),
    "iron": ("tibc", 10.0),
}
SCALES: Mapping[str, tuple[float, float]] = {
    "phq9": (0, 27),
    "gad7": (0, 21),
    "mmse": (0, 30),
    "phq2": (0, 6),
    "audit_c": (0, 12),
    "dast10": (0, 10),
}
MORSE = ((25.0, 0.3), (15.0, 0.7), (15.0, 0.25), (10.0, 0.3), (15.0, 0.1))  # points and share of the very old; assumed
ABSENT, UNWANTED = -1, -2


class Values:
    """Values of items at specimens (S,), made in the order in which they need each other.

    Parameters
    ----------
    history, specimens, catalogue
        What is measured where.
    extra
        Item -> function of rows (R,) of specimens that gives values instead of the catalogue's: cultures, stages.
    """

    def __init__(
        self,
        history: History,
        specimens: Specimens,
        catalogue: Catalogue,
        extra: Mapping[str, Callable[[Ints], Floats]] | None = None,
    ) -> None:
        self.history, self.specimens, self.catalogue = history, specimens, catalogue
        found = findings.known(history, specimens.person, specimens.time, specimens.ordinal, self._among_healthy)
        self.extra = {**found, **(extra or {})}
        people = history.people
        self.age = (specimens.time - people.birth[specimens.person]) / YEAR
        self.sex = people.sex[specimens.person]
        expect: Callable[[Ints, Floats], None] | None = getattr(history.levels, "expect", None)
        if expect is not None:
            expect(specimens.person, specimens.time)
        self.value: dict[str, Floats] = {}  # item -> (S,), NaN: not measured
        self.rows: dict[str, Ints] = {}

    def of(self, name: str, rows: Ints) -> Floats:
        """Return reported values of an item at rows (R,) of specimens, measuring it there if it was not."""
        held = self.value.get(name)
        if held is None:
            held = np.full(len(self.age), np.nan)
            self.value[name] = held
        missing = rows[np.isnan(held[rows])]
        if len(missing):
            held[missing] = self._reported(self.catalogue.items[self.catalogue.place[name]], missing)
        return held[rows]

    def level(self, process: str, rows: Ints) -> Floats:
        """Return the true level of a process at rows (R,) of specimens."""
        specimens = self.specimens
        return self.history.levels.at(process, specimens.person[rows], specimens.time[rows])

    def noise(self, name: str, rows: Ints) -> Floats:
        """Return standard-normal numbers of an item at rows (R,)."""
        specimens = self.specimens
        u = self.history.draw(f"measure {name}", specimens.person[rows], specimens.ordinal[rows])[:, 0]
        return ndtri(np.clip(u, 1e-12, 1 - 1e-12))

    def own(self, name: str, rows: Ints) -> Floats:
        """Return standard-normal numbers of an item that stay with the person (R,)."""
        u = self.history.draw(f"own {name}", self.specimens.person[rows])[:, 0]
        return ndtri(np.clip(u, 1e-12, 1 - 1e-12))

    def _reported(self, item: Item, rows: Ints) -> Floats:
        value = self._raw(item, rows)
        if item.noise is not None and item.noise.sd != 0:
            z = self.noise(item.id, rows)
            cv, sd = item.noise.cv, item.noise.sd
            value = value * np.exp(cv * z) if cv is not None else value + (sd or 0.0) * z
        if item.id in BELOW:
            whole, least = BELOW[item.id]
            value = np.minimum(value, self.of(whole, rows) - least)
        bounds = SCALES.get(item.id) or BOUNDED.get(item.id)
        if item.process is not None and bounds is None:
            bounds = _limits(self.history, item.process)
        if bounds is not None:
            value = np.clip(value, *bounds)
        if item.words:
            return np.clip(value, 0, len(item.words) - 1)
        factor = 10.0**item.decimals
        out = np.floor(value * factor + 0.5) / factor
        return np.where(out <= 0, _least(item, out), out)

    def _raw(self, item: Item, rows: Ints) -> Floats:
        if item.id in self.extra:
            return self.extra[item.id](rows)
        if item.process is not None:
            return self.level(item.process, rows)
        if item.formula is not None:
            return self._formula(item, rows)
        return self._healthy(item, rows)

    def _healthy(self, item: Item, rows: Ints) -> Floats:
        healthy = item.healthy
        if healthy is None:  # known to a part of care alone, which does not know it here: not written
            return np.full(len(rows), np.nan)
        if healthy.shares:
            u = self.history.draw(f"word {item.id}", self.specimens.person[rows], self.specimens.ordinal[rows])[:, 0]
            return np.searchsorted(np.cumsum(healthy.shares[:-1]), u, side="right").astype(np.float64)
        assert healthy.mean is not None
        z = self.own(item.id, rows)
        return healthy.mean * np.exp(healthy.cv * z) if healthy.cv is not None else healthy.mean + (healthy.sd or 0) * z

    def _among_healthy(self, name: str, rows: Ints) -> Floats:
        return self._healthy(self.catalogue.items[self.catalogue.place[name]], rows)

    def _formula(self, item: Item, rows: Ints) -> Floats:
        name, of = item.formula, item.of
        if name is not None and name in SIMPLE:
            return SIMPLE[name](*(self.of(part, rows) for part in of))
        age, sex = self.age[rows], self.sex[rows]
        if name == "creatinine_ckdepi":
            return creatinine(self.level("egfr", rows), self._height(rows), sex, age)
        if name == "egfr_ckdepi":
            return egfr(self.of("creatinine", rows), self._height(rows), sex, age)
        out: Floats = getattr(self, f"_{name}")(item, rows)
        return out

    def _height(self, rows: Ints) -> Floats:
        return self.level("height", rows)

    def _weight(self, item: Item, rows: Ints) -> Floats:
        height = self.of("height", rows) if "height" in self.value else self._height(rows)
        return self.level("bmi", rows) * (height / 100) ** 2

    def _bmi_percentile(self, item: Item, rows: Ints) -> Floats:
        return percentile(self._chart_z("bmi", self.of("bmi", rows), rows))

    def _head_percentile(self, item: Item, rows: Ints) -> Floats:
        return percentile(self._chart_z("head", self.of("head", rows), rows))

    def _weight_length_percentile(self, item: Item, rows: Ints) -> Floats:
        return percentile(self._chart_z("weight", self.of("weight", rows), rows))

    def _chart_z(self, kind: str, value: Floats, rows: Ints) -> Floats:
        from ehrsatz.simulator.growth import z_of

        return z_of(kind, self.sex[rows], self.age[rows], value)

    def _share(self, item: Item, rows: Ints) -> Floats:
        share = np.clip(self._healthy(item, rows), 0.08, 0.6)
        return self.of(item.of[0], rows) * share

    def _rdw(self, item: Item, rows: Ints) -> Floats:
        iron_poor = np.clip((30 - self.level("ferritin", rows)) / 30, 0, 1)
        return self._healthy(item, rows) + 3.5 * iron_poor

    def _differential(self, item: Item, rows: Ints) -> Floats:
        """Return a share of white cells: the five sum to 100, and neutrophils rise with inflammation."""
        names = [f"{kind}_share" for kind in ("neutrophils", "lymphocytes", "monocytes", "eosinophils", "basophils")]
        inflamed = np.clip(np.log10(np.maximum(self.level("crp", rows), 1)) - 1, 0, 1.3)
        parts = []
        for name in names:
            one = self.catalogue.items[self.catalogue.place[name]]
            wobble = 1 + 0.06 * self.noise(name, rows)
            parts.append(np.maximum(self._healthy(one, rows), 0.1) * wobble)
        parts[0] = parts[0] * (1 + 0.25 * inflamed)
        parts[1] = parts[1] * (1 - 0.45 * inflamed)
        whole = np.maximum(np.sum(parts, axis=0), 1e-9)
        if item.id != names[0]:
            return 100 * parts[names.index(item.id)] / whole
        rest = [np.floor(1000 * part / whole + 0.5) / 10 for part in parts[1:]]
        return 100 - np.sum(rest, axis=0)

    def _iron(self, item: Item, rows: Ints) -> Floats:
        short = np.clip((30 - self.level("ferritin", rows)) / 30, 0, 1)
        return np.maximum(self._healthy(item, rows) * (1 - 0.65 * short), 8)

    def _iron_binding(self, item: Item, rows: Ints) -> Floats:
        short = np.clip((30 - self.level("ferritin", rows)) / 30, 0, 1)
        return np.maximum(self._healthy(item, rows) + 90 * short, 180)

    def _d_dimer(self, item: Item, rows: Ints) -> Floats:
        inflamed = np.clip(self.level("crp", rows) / 50, 0, 6)
        age = np.maximum(self.age[rows] - 50, 0)
        return self._healthy(item, rows) * (1 + inflamed) * (1 + age / 60)

    def _fibrinogen(self, item: Item, rows: Ints) -> Floats:
        return self._healthy(item, rows) * (1 + np.clip(self.level("crp", rows) / 120, 0, 1.5))

    def _interleukin(self, item: Item, rows: Ints) -> Floats:
        return self._healthy(item, rows) * (1 + self.level("crp", rows) / 4)

    def _parathyroid(self, item: Item, rows: Ints) -> Floats:
        kidney = np.clip((60 - self.level("egfr", rows)) / 20, 0, 3)
        sun = np.clip((20 - self.level("vitamin_d", rows)) / 20, 0, 1)
        return self._healthy(item, rows) * (1 + kidney) * (1 + 0.4 * sun)

    def _phq2(self, item: Item, rows: Ints) -> Floats:
        return np.clip(np.round(self.level("phq9", rows) * 6 / 27 * 1.2), 0, 6)

    def _audit_c(self, item: Item, rows: Ints) -> Floats:
        drinks = self.history.people.attributes.get("alcohol")
        if drinks is None:
            return np.zeros(len(rows))
        mean = np.array([0.3, 2.2, 6.5])[np.clip(drinks[self.specimens.person[rows]], 0, 2)]
        adult = self.age[rows] >= 18
        return np.where(adult, np.clip(np.round(mean + 1.0 * self.noise(item.id, rows)), 0, 12), 0)

    def _fall_risk(self, item: Item, rows: Ints) -> Floats:
        """Return the Morse scale: falls 25, second diagnosis 15, walking aid 15, gait 10, forgets limits 15."""
        u = self.history.draw("fall risk", self.specimens.person[rows], self.specimens.ordinal[rows], width=len(MORSE))
        frail = np.clip((self.age[rows] - 55) / 30, 0.05, 1.2)
        return ((u < frail[:, None] * [share for _, share in MORSE]) * [points for points, _ in MORSE]).sum(axis=1)

    def _attribute(self, item: Item, rows: Ints) -> Floats:
        people, time = self.history.people, self.specimens.time[rows]
        person = self.specimens.person[rows]
        started = people.smoked_from[person] <= time
        ended = people.smoked_to[person] <= time
        return np.where(started, np.where(ended, 1.0, 2.0), 0.0)

    def _dipstick_protein(self, item: Item, rows: Ints) -> Floats:
        return grade(self.level("uacr", rows), (30, 100, 300, 1000)).astype(np.float64)

    def _dipstick_glucose(self, item: Item, rows: Ints) -> Floats:
        return grade(self.level("mean_glucose", rows), (180, 220, 270, 330)).astype(np.float64)

    def _pregnant(self, item: Item, rows: Ints) -> Floats:
        attacks = self.history.attacks.get("pregnancy")
        if attacks is None:
            return np.zeros(len(rows))
        return during(attacks, self.specimens.person[rows], self.specimens.time[rows]).astype(np.float64)


def rows_of(values: Values, book: Book, orders: Mapping[str, Ints]) -> Rows:
    """Return the observation rows of everything that was wanted, sorted by specimen, then item.

    Parameters
    ----------
    values
        Measured here.
    book
        Holds the words.
    orders
        Panel -> order row of each of its specimens, ABSENT where none.
    """
    specimens, catalogue = values.specimens, values.catalogue
    panels: dict[int, list[str]] = {}  # item -> panels that it was wanted in
    for panel in sorted(specimens.wants, key=lambda panel: (panel in orders, panel)):
        for name in EXTRA.get(panel) or catalogue.panels[panel].items:
            if catalogue.codes[catalogue.place[name]]:
                panels.setdefault(catalogue.place[name], []).append(panel)
    n = len(specimens.person)
    slot = np.full(n, UNWANTED, np.int64)  # (S,) order of the item at hand, at each specimen
    count = np.zeros(n, np.int64)
    parts: list[tuple[int, Ints, Ints, Floats, Ints | None]] = []
    for place in sorted(panels):
        for panel in panels[place]:  # an ordered one goes over an unordered one
            slot[specimens.wants[panel]] = orders.get(panel, ABSENT)
        here = np.flatnonzero(slot != UNWANTED)
        by = slot[here]
        slot[here] = UNWANTED
        one = catalogue.items[place]
        value, text = values.of(one.id, here), None
        known = ~np.isnan(value)
        if not known.all():
            here, by, value = here[known], by[known], value[known]
        if one.words:
            text = np.array([book.text(word) for word in one.words])[value.astype(np.int64)]
        count[here] += 1
        parts.append((place, here, by, value, text))
    free = np.cumsum(count) - count  # (S,) next row of each specimen
    specimen = np.repeat(np.arange(n), count)
    item = np.empty(len(specimen), np.int16)
    order, words = np.empty(len(specimen), np.int64), np.full(len(specimen), ABSENT, np.int64)
    reported = np.empty(len(specimen))
    for place, here, by, value, text in parts:
        row = free[here]
        free[here] += 1
        item[row], order[row], reported[row] = place, by, value
        if text is not None:
            words[row], reported[row] = text, np.nan
    return {
        "encounter": specimens.encounter[specimen],
        "time": specimens.time[specimen],
        "item": item,
        "value": reported,
        "text": words,
        "order": order,
    }


def panel_orders(
    specimens: Specimens, catalogue: Catalogue, encounters: Encounters, book: Book
) -> tuple[Rows, dict[str, Ints]]:
    """Return one laboratory order per panel with a LOINC code and specimen, and panel -> order of each specimen."""
    parts = [
        (panel, specimens.wants[panel], loinc)
        for panel in catalogue.panels  # in the catalogue's order, whoever else is in the shard
        if panel in specimens.wants and panel not in EXTRA and (loinc := _panel_code(catalogue, panel)) is not None
    ]
    if not parts:
        return {}, {}
    specimen = np.concatenate([rows for _, rows, _ in parts])
    code = np.concatenate([np.full(len(rows), book.place(LOINC, loinc)) for _, rows, loinc in parts])
    kind = np.concatenate([np.full(len(rows), k) for k, (_, rows, _) in enumerate(parts)])
    order = np.lexsort((kind, specimen))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    encounter = specimens.encounter[specimen[order]]
    rows: Rows = {
        "encounter": encounter,
        "time": specimens.time[specimen[order]],
        "kind": np.zeros(len(order), np.int64),
        "code": code[order],
        "reason": encounters.reason[encounter],
        "status": np.zeros(len(order), np.int64),
    }
    edges = np.cumsum([len(one[1]) for one in parts])[:-1]
    return rows, {one[0]: at for one, at in zip(parts, np.split(place, edges), strict=True)}


def _panel_code(catalogue: Catalogue, panel: str) -> str | None:
    """Return the LOINC code that a panel is ordered by: its own or its first item's; None outside the laboratory."""
    one = catalogue.panels[panel]
    first = catalogue.items[catalogue.place[one.items[0]]]
    return (one.loinc or first.loinc) if first.category == "laboratory" else None


def _limits(history: History, process: str) -> tuple[float, float] | None:
    bounds: Callable[[str], tuple[float, float]] | None = getattr(history.levels, "bounds", None)
    return None if bounds is None else bounds(process)


def _least(item: Item, value: Floats) -> Floats:
    """Return what a value that rounds to nothing is reported as: the smallest step, where nothing cannot be."""
    if item.category in ("survey", "exam") or item.formula in SIMPLE or item.id in ("pain", "bmd"):
        return value
    return np.full_like(value, 10.0**-item.decimals)
