"""The policies that ship with the package, by name, and the check that a policy fits the metrics there are."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from pathlib import Path

from ehrsatz import registry
from ehrsatz.errors import ScenarioError, nearest
from ehrsatz.evaluation.plausibility.measures import BY_NAME as COHORT
from ehrsatz.gate.policy import REVIEW, RULES, Policy, Threshold
from ehrsatz.scenario import read_yaml

SIMULATED = ("simulated", "simulated-quota")  # of cohorts that rest on nobody's data
SHIPPED = ("default", "internal-test", "partner", "public", "ml-training", "statistics", *SIMULATED)
_SHARES = {RULES: ("maximise", 0.0, 1.0), REVIEW: ("maximise", 0.0, 1.0)}  # goal and scale of what is no metric


def text_of(name: str) -> str:
    """Return a shipped policy as it stands in the package: YAML to copy and edit.

    Raises
    ------
    ScenarioError
        When there is none of that name.
    """
    if name not in SHIPPED:
        raise ScenarioError(
            f"Expected one of the policies that ship with ehrsatz: {', '.join(SHIPPED)}.",
            f"'{name}' is none of them.{nearest(name, SHIPPED)}",
            "List them with: ehrsatz gate --list",
        )
    return resources.files("ehrsatz.gate").joinpath("policies", f"{name}.yaml").read_text(encoding="utf-8")


@lru_cache(maxsize=len(SHIPPED))
def named(name: str) -> Policy:
    """Return a shipped policy.

    Raises
    ------
    ScenarioError
        When there is none of that name.
    """
    return Policy.from_dict(read_yaml(text_of(name), "a policy"))


def policy_of(named_or_path: str | Path | None) -> Policy:
    """Return the policy that a name or a path stands for, checked against the metrics there are.

    Parameters
    ----------
    named_or_path
        Name of a shipped policy, else path of a policy file; None is the built-in policy.

    Raises
    ------
    ScenarioError
        When it is neither, or the policy is wrong.
    """
    if named_or_path is None:
        return Policy.default()
    text = str(named_or_path)
    if text in SHIPPED:
        return checked(named(text))
    if not Path(text).exists():
        raise ScenarioError(
            f"Expected a policy: one of {', '.join(SHIPPED)}, or the path of a policy file.",
            f"'{text}' is none of them, and there is no such file.{nearest(Path(text).name, SHIPPED)}",
            "List them with: ehrsatz gate --list",
        )
    return checked(Policy.from_file(text))


def checked(policy: Policy) -> Policy:
    """Return the policy if each threshold is about a metric that exists, on the right side and on its scale.

    Raises
    ------
    ScenarioError
        With every problem: a misspelt metric would hold every release and deny none; a limit on the wrong side, or
        one that no number can miss, would let everything pass.
    """
    names = [*registry.names("metrics"), *COHORT, RULES, REVIEW]
    unknown = [
        f"thresholds.{i}: '{one.metric}' is no metric.{nearest(one.metric, names)}"
        for i, one in enumerate(policy.thresholds)
        if one.metric not in names
    ]
    if unknown:
        raise ScenarioError(
            f"Expected thresholds of these metrics: {', '.join(names)}.",
            f"{len(unknown)} of {len(policy.thresholds)} name none of them.",
            "Correct the policy.",
            problems=unknown,
        )
    wrong = [f"thresholds.{i}: {fault}" for i, one in enumerate(policy.thresholds) if (fault := _fault(one))]
    if wrong:
        raise ScenarioError(
            "Expected limits that a number can miss.",
            f"{len(wrong)} of {len(policy.thresholds)} cannot, or lie on the wrong side.",
            "Correct the policy.",
            problems=wrong,
        )
    return policy


def _fault(threshold: Threshold) -> str:
    """Say what is wrong with a limit, or nothing."""
    if threshold.metric in _SHARES:
        goal, low, high = _SHARES[threshold.metric]
    else:
        metric = COHORT.get(threshold.metric) or registry.find("metrics", threshold.metric)
        goal, low, high = metric.goal, metric.low, metric.high
    better = {"minimise": "at_most", "maximise": "at_least"}.get(goal)
    given = "at_most" if threshold.at_most is not None else "at_least"
    if better is not None and given != better:
        word = "less" if goal == "minimise" else "more"
        return f"{word} is better in {threshold.metric}: expected {better}, found {given}"
    reach = high - low
    if threshold.against == "reference":
        if abs(threshold.limit) >= reach:
            return f"expected a difference smaller than {reach:g}, the length of {threshold.metric}'s scale"
    elif not low <= threshold.limit <= high:
        return f"expected a limit from {low:g} to {high:g}, the scale of {threshold.metric} (9 % is 0.09)"
    elif threshold.limit == (high if given == "at_most" else low) and low < high:
        return f"{threshold.text} is the end of {threshold.metric}'s scale: nothing could miss it"
    return ""
