"""The worksheet: a measured run beside the way over real data, with every assumption visible and editable.

Nothing in it is a finding but the measured part. Each assumption has a value, a unit and a source, stands in one YAML
file, and in the page each can be changed in place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ehrsatz.errors import ScenarioError
from ehrsatz.scenario import read_text, read_yaml, validated


class Assumption(BaseModel):
    """One number that the worksheet multiplies by."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    value: float = Field(ge=0, allow_inf_nan=False)
    unit: str
    source: str = Field(min_length=1)


class Assumptions(BaseModel):
    """All numbers that the worksheet multiplies by; their meaning stands beside them in `assumptions.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    currency: str
    electricity: Assumption
    machine: Assumption
    tokens: Assumption
    run_hours: Assumption
    review_hours: Assumption
    analyst: Assumption
    officer: Assumption
    lawyer: Assumption
    application_hours: Assumption
    ethics_hours: Assumption
    contract_hours: Assumption
    extraction_hours: Assumption
    deidentify_hours: Assumption
    provider_fee: Assumption
    enclave_month: Assumption
    enclave_months: Assumption
    wait_weeks: Assumption

    @classmethod
    def default(cls) -> Assumptions:
        """Return the assumptions that ship."""
        return cls.model_validate(read_yaml(default_text(), "assumptions"))

    @classmethod
    def from_file(cls, path: str | Path) -> Assumptions:
        """Read a file of assumptions; what it leaves out is as it ships.

        Raises
        ------
        ScenarioError
            When it cannot be read, or holds an unknown key or a value that is no number from 0 up.
        """
        told = read_yaml(read_text(path, "a file of assumptions"), "assumptions")
        if not isinstance(told, Mapping):
            raise ScenarioError(
                "Expected assumptions as a mapping of keys.",
                f"It is of type {type(told).__name__}.",
                "Start from: ehrsatz cost --template",
            )
        found: Assumptions = validated(cls, {**cls.default().model_dump(), **told}, "file of assumptions")
        return found


# Each line of the worksheet: side, what, and the factors that are multiplied (names of assumptions, or measured ones).
PER_STEP = ("wall_s", "cpu_s", "energy_j")
LINES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("synthetic", "Machine time of the run", ("wall_h", "machine")),
    ("synthetic", "Electricity of the run", ("energy_kwh", "electricity")),
    ("synthetic", "Language model", ("tokens_million", "tokens")),
    ("synthetic", "An analyst prepares, runs and reads", ("run_hours", "analyst")),
    ("synthetic", "A privacy officer decides", ("review_hours", "officer")),
    ("real", "Application", ("application_hours", "analyst")),
    ("real", "Ethics or review board", ("ethics_hours", "officer")),
    ("real", "Data use agreement", ("contract_hours", "lawyer")),
    ("real", "Extraction", ("extraction_hours", "analyst")),
    ("real", "De-identification", ("deidentify_hours", "analyst")),
    ("real", "Fee of the data holder", ("provider_fee",)),
    ("real", "Secure environment", ("enclave_months", "enclave_month")),
)


def default_text() -> str:
    """Return the file of assumptions that ships, with its comments."""
    return resources.files("ehrsatz.cost").joinpath("assumptions.yaml").read_text(encoding="utf-8")


def worksheet(cost: Mapping[str, Any], assumptions: Assumptions | None = None) -> dict[str, Any]:
    """Multiply a measured run and the assumptions out.

    Parameters
    ----------
    cost
        What `Cost.to_dict` gives.
    assumptions
        Those that ship where None.

    Returns
    -------
    Plain JSON types: the measured figures, each line with its factors and amount, both sums, the difference, the
    assumptions.

    Raises
    ------
    ScenarioError
        When `cost` is no measured run.
    """
    plan = assumptions or Assumptions.default()
    try:
        measured = {
            "wall_h": _amount(cost["wall_s"]) / 3600,
            "energy_kwh": _amount(cost["energy_wh"]) / 1000,
            "tokens_million": _amount(cost["tokens"]) / 1e6,
        }
        source = str(cost["energy_source"])
        steps = [{"step": str(one["step"]), **{key: _amount(one[key]) for key in PER_STEP}} for one in cost["steps"]]
        whole = {key: None if cost.get(key) is None else _amount(cost[key]) for key in ("cpu_s", "peak_mb")}
    except (KeyError, TypeError, ValueError, OverflowError):
        raise ScenarioError(
            "Expected the cost of a run as `ehrsatz fabricate --cost FILE` writes it.",
            "The file holds something else.",
            "Run fabricate again with --cost.",
        ) from None
    lines: list[dict[str, Any]] = []
    for side, what, factors in LINES:
        amount = 1.0
        for name in factors:
            amount *= measured[name] if name in measured else getattr(plan, name).value
        lines.append({"side": side, "what": what, "factors": list(factors), "amount": round(amount, 6)})
    sums = {
        side: round(sum(one["amount"] for one in lines if one["side"] == side), 2) for side in ("synthetic", "real")
    }
    return {
        "format": 1,
        "currency": plan.currency,
        "measured": {
            **measured,
            "energy_source": source,
            "steps": steps,
            **whole,
        },
        "lines": lines,
        "sums": sums,
        "difference": round(sums["real"] - sums["synthetic"], 2),
        "wait_weeks": plan.wait_weeks.value,
        "assumptions": {
            name: entry.model_dump()
            for name in type(plan).model_fields
            if isinstance(entry := getattr(plan, name), Assumption)
        },
    }


def _amount(told: Any) -> float:
    """A measured amount; ValueError where it is no number from 0 on."""
    if isinstance(told, bool) or not isinstance(told, (int, float)) or not 0 <= float(told) < math.inf:
        raise ValueError("no amount")
    return float(told)


def page(sheet: Mapping[str, Any]) -> str:
    """Write a worksheet as one self-contained HTML page whose assumptions can be changed in place.

    Parameters
    ----------
    sheet
        What `worksheet` gives.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = resources.files("ehrsatz.cost").joinpath("worksheet.html.j2").read_text(encoding="utf-8")
    return environment.from_string(text).render(sheet=sheet)
