"""Units of UCUM: what is one and what only looks like one."""

from __future__ import annotations

import pytest

from ehrsatz.clinical import schema
from ehrsatz.terminology.units import check

_GOOD = """
    mm[Hg] mL/min/{1.73_m2} 10*3/uL {score} 1 kg/m2 m[IU]/L Cel /min {tbl} [IU] mg ug mL/h ng/mL mmol/L % mm/h pg/mL U/L
    [USD]/a fL g/dL /d mg/mmol umol/L [degF] mosm/kg meq/L ug/kg/min g.m/s2 (mg/dL) kPa [in_i] {puff} [arb'U]/mL /[HPF]
    m-1 10^3 cm[H2O] kat/L d wk mo a [pH] mg{creat}/dL s-2 cm2 ug/(kg.min)
"""
BAD = [
    "mmHg",
    "mg//dL",
    "mg/",
    "IU",
    "mg/dl ",
    "",
    "(mg",
    "beats/min",
    "μg",
    "lb",
    "puff",
    "mg)",
    "mg dL",
    "{a b}",
    "kmin",
]


@pytest.mark.parametrize("unit", _GOOD.split())
def test_units(unit: str) -> None:
    assert check(unit) == []


@pytest.mark.parametrize("unit", BAD)
def test_no_units(unit: str) -> None:
    assert len(check(unit)) == 1


def test_units_of_the_clinical_schema() -> None:
    units = {column.unit for table in schema().tables for column in table.columns if column.unit}
    assert units and all(check(unit) == [] for unit in units)
