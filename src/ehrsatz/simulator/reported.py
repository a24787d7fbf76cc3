"""Observations as a country reports them: the catalogue's items in its units, with the code of that unit.

Values are simulated in the units of the catalogue and turned at the last moment, reference ranges and goals with them;
a value is rounded to the digits that the country writes.

References
----------
The factors stand in the locale's units.json, each with its source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ehrsatz.errors import ScenarioError, nearest
from ehrsatz.simulator.catalogue import Catalogue
from ehrsatz.simulator.country import Conversion
from ehrsatz.simulator.history import Floats, Ints


class Reported:
    """A catalogue in the units of a country.

    Parameters
    ----------
    catalogue
        Of observations.
    conversions
        Id of an item -> unit, factor, offset and digits of the country; items that are not named stay as they are.

    Raises
    ------
    ScenarioError
        When a conversion names no item.
    """

    def __init__(self, catalogue: Catalogue, conversions: Mapping[str, Conversion]) -> None:
        unknown = sorted(set(conversions) - set(catalogue.place))
        if unknown:
            raise ScenarioError(
                "Expected the units of a locale to name items of the catalogue.",
                f"Unknown: {', '.join(unknown)}.{nearest(unknown[0], catalogue.place)}",
                "Correct its units.json.",
            )
        self.catalogue = catalogue
        self._by = {catalogue.place[name]: one for name, one in conversions.items()}

    @cached_property
    def codes(self) -> Sequence[str]:
        """LOINC codes, blank where an item is not written down."""
        return [(k in self._by and self._by[k].loinc) or code for k, code in enumerate(self.catalogue.codes)]

    @property
    def categories(self) -> Sequence[str]:
        """Of clinical.CATEGORIES."""
        return self.catalogue.categories

    @cached_property
    def units(self) -> Sequence[str | None]:
        """UCUM."""
        return [self._by[k].unit if k in self._by else unit for k, unit in enumerate(self.catalogue.units)]

    @cached_property
    def _lines(self) -> tuple[NDArray[np.bool_], Floats, Floats, Floats]:
        """Of each item: whether it is turned, factor, offset, and power of ten of the digits."""
        every = [self._by.get(k) for k in range(len(self.catalogue.items))]
        turned = np.array([one is not None for one in every])
        factor = np.array([1.0 if one is None else one.factor for one in every])
        offset = np.array([0.0 if one is None else one.offset for one in every])
        return turned, factor, offset, 10.0 ** np.array([0 if one is None else one.decimals for one in every])

    def convert(self, item: Ints, value: Floats) -> Floats:
        """Return values (R,) of items in the units of the country, rounded to its digits."""
        return self._convert(item, value)[0]

    def ranges(self, item: Ints, sex: Ints, age: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Return low and high ends of the reference range and of the critical range (R,), NaN: none."""
        low, high, least, most = self._convert(item, *self.catalogue.ranges(item, sex, age))
        return low, high, least, most

    def _convert(self, item: Ints, *values: Floats) -> list[Floats]:
        turned, factor, offset, scale = self._lines
        rows = np.flatnonzero(turned[item]) if self._by else np.zeros(0, np.int64)
        if not len(rows):
            return list(values)
        some = np.asarray(item)[rows]
        a, b, digits = factor[some], offset[some], scale[some]
        out = []
        for value in values:
            mine = np.array(value, np.float64)
            mine[rows] = np.rint((mine[rows] * a + b) * digits) / digits
            out.append(mine)
        return out

    def of_code(self, codes: Sequence[tuple[str, str]]) -> Ints:
        """Return the item of each entry of a book whose code the catalogue gives it, -1: none."""
        known = {code: k for k, code in reversed(list(enumerate(self.catalogue.codes))) if code}
        return np.array([known.get(code, -1) if system == "LOINC" else -1 for system, code in codes], np.int64)
