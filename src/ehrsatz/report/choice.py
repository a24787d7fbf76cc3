"""What the generator `auto` tried and why it picked what it picked, as data for a table on the page and the screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def choice_table(choice: Mapping[str, Any]) -> dict[str, Any]:
    """Return the account of a choice as rows of a table, in the order of trial.

    Parameters
    ----------
    choice
        What `auto` wrote down: `report_` of the generator, `choice` in a manifest.

    Returns
    -------
    `picked` and `why` in words; `rows` of name, settings, distance, near_share, membership_auc, state and why; `real`,
    the distance of real rows; `over_budget`, the names and settings that were not tried.
    """
    picked = choice["picked"]
    rows = []
    for one in choice["candidates"]:
        is_picked = one["name"] == picked["name"] and dict(one["settings"]) == dict(picked["settings"])
        state = "picked" if is_picked else "admitted" if one["admitted"] else "failed" if _failed(one) else "refused"
        rows.append(
            {
                "name": one["name"],
                "settings": _words(one["settings"]),
                "distance": one["distance"],
                "near_share": one["near_share"],
                "membership_auc": one["membership_auc"],
                "state": state,
                "why": one["why"],
            }
        )
    return {
        "picked": f"{picked['name']}, {_words(picked['settings'])}",
        "why": choice["why"],
        "real": choice["distance_of_real_data"],
        "rows": rows,
        "over_budget": [f"{one['name']}, {_words(one['settings'])}" for one in choice["over_budget"]],
    }


def _failed(one: Mapping[str, Any]) -> bool:
    return one["distance"] is None


def _words(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items()) or "defaults"
