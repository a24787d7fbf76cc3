"""How the data came about, as W3C PROV in its JSON form: entities, activities, agents. No clock time, no row.

The source is named by what may be known of it: its public name if it is bundled, the fingerprint of its schema, never
a path. Learning, sampling, measuring and judging are activities of ehrsatz as software agent.

References
----------
Moreau & Missier, PROV-DM: The PROV Data Model, W3C Recommendation 2013. Huynh et al., The PROV-JSON Serialization,
W3C Member Submission 2013.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ehrsatz import __version__
from ehrsatz.capsule.contents import Contents

TERMS = "urn:ehrsatz:terms:"


def build(contents: Contents) -> dict[str, Any]:
    """Return the provenance of a release as PROV-JSON."""
    if contents.simulated:
        return _simulated(contents)
    source = contents.scenario.get("source") or {}
    steps = contents.synthetic.provenance.steps
    told = {
        "run:source": _about(
            "The real table that was learned from; it is not part of the release",
            "prov:Collection",
            {"ehr:bundled": source.get("bundled"), "ehr:sampleSubjects": source.get("sample_subjects")},
        ),
        "run:train": _about(
            "The real subjects that the generator saw",
            "prov:Collection",
            {"ehr:share": contents.scenario.get("train_fraction"), **_subjects(contents, "train")},
        ),
        "run:holdout": _about(
            "Other real subjects, which it did not see", "prov:Collection", _subjects(contents, "holdout")
        ),
        "run:schema": _about(
            "What each column holds", "prov:Entity", {"ehr:fingerprint": contents.synthetic.schema.fingerprint}
        ),
        "run:model": _about(
            "The fitted model; it is not part of the release",
            "prov:Entity",
            {
                "ehr:generator": contents.generator.get("name"),
                "ehr:parameters": _text(contents.generator.get("parameters")),
            },
        ),
        "run:synthetic": _about(
            contents.summary,
            "prov:Collection",
            {"ehr:origin": contents.synthetic.provenance.origin, "ehr:subjects": contents.synthetic.n_subjects},
        ),
        "run:scores": _about("Every score, in scores.json", "prov:Entity", {}),
        "run:policy": _about(
            "The thresholds, in verdict.json", "prov:Plan", {"ehr:name": contents.verdict.policy.get("name")}
        ),
        "run:verdict": _about(
            "What the gate decided, in verdict.json", "prov:Entity", {"ehr:decision": contents.verdict.decision}
        ),
    }
    seed = {"ehr:seed": contents.scenario.get("seed")}
    activities = {
        "run:split": _about("Divide the subjects into those to learn from and those that judge", None, seed),
        "run:fit": _about("Learn a model from the training subjects", None, seed),
        "run:sample": _about(
            "Draw synthetic rows from the model", None, {**seed, "ehr:steps": _text([one.as_dict() for one in steps])}
        ),
        "run:evaluate": _about("Measure the rows against both real halves", None, seed),
        "run:judge": _about("Hold the scores against the policy", None, {}),
    }
    return {
        "prefix": {"ehr": TERMS, "run": f"urn:ehrsatz:run:{run_id(contents)}:"},
        "entity": told,
        "activity": activities,
        "agent": {
            "run:ehrsatz": {
                "prov:type": _name("prov:SoftwareAgent"),
                "prov:label": f"ehrsatz {__version__}",
                "ehr:version": __version__,
            }
        },
        "used": _pairs(
            "prov:activity",
            "prov:entity",
            ("split", "source"),
            ("fit", "train"),
            ("fit", "schema"),
            ("sample", "model"),
            ("evaluate", "synthetic"),
            ("evaluate", "train"),
            ("evaluate", "holdout"),
            ("judge", "scores"),
            ("judge", "policy"),
        ),
        "wasGeneratedBy": _pairs(
            "prov:entity",
            "prov:activity",
            ("train", "split"),
            ("holdout", "split"),
            ("model", "fit"),
            ("synthetic", "sample"),
            ("scores", "evaluate"),
            ("verdict", "judge"),
        ),
        "wasDerivedFrom": _pairs(
            "prov:generatedEntity",
            "prov:usedEntity",
            ("train", "source"),
            ("holdout", "source"),
            ("model", "train"),
            ("synthetic", "model"),
            ("scores", "synthetic"),
            ("verdict", "scores"),
        ),
        "wasAssociatedWith": _pairs(
            "prov:activity", "prov:agent", *((name.partition(":")[2], "ehrsatz") for name in activities)
        ),
        "wasAttributedTo": _pairs("prov:entity", "prov:agent", ("synthetic", "ehrsatz"), ("verdict", "ehrsatz")),
    }


def _simulated(contents: Contents) -> dict[str, Any]:
    """Return the provenance of patients from knowledge alone."""
    steps = contents.synthetic.provenance.steps
    seed = {"ehr:seed": contents.scenario.get("seed")}
    told = {
        "run:knowledge": _about(
            "Disease modules, distributions of the body's processes, a country's population: published figures with "
            "their sources, part of the software",
            "prov:Collection",
            {"ehr:version": __version__},
        ),
        "run:schema": _about(
            "What each column holds", "prov:Entity", {"ehr:fingerprint": contents.synthetic.schema.fingerprint}
        ),
        "run:synthetic": _about(
            contents.summary,
            "prov:Collection",
            {"ehr:origin": contents.synthetic.provenance.origin, "ehr:subjects": contents.synthetic.n_subjects},
        ),
        "run:scores": _about("Every score, in scores.json", "prov:Entity", {}),
        "run:policy": _about(
            "The thresholds, in verdict.json", "prov:Plan", {"ehr:name": contents.verdict.policy.get("name")}
        ),
        "run:verdict": _about(
            "What the gate decided, in verdict.json", "prov:Entity", {"ehr:decision": contents.verdict.decision}
        ),
    }
    activities = {
        "run:simulate": _about(
            "Simulate patients", None, {**seed, "ehr:steps": _text([one.as_dict() for one in steps])}
        ),
        "run:evaluate": _about("Hold the patients against published figures and plausibility rules", None, {}),
        "run:judge": _about("Hold the scores against the policy", None, {}),
    }
    names = [name.partition(":")[2] for name in activities]
    return {
        "prefix": {"ehr": TERMS, "run": f"urn:ehrsatz:run:{run_id(contents)}:"},
        "entity": told,
        "activity": activities,
        "agent": {
            "run:ehrsatz": {
                "prov:type": _name("prov:SoftwareAgent"),
                "prov:label": f"ehrsatz {__version__}",
                "ehr:version": __version__,
            }
        },
        "used": _pairs(
            "prov:activity",
            "prov:entity",
            ("simulate", "knowledge"),
            ("simulate", "schema"),
            ("evaluate", "synthetic"),
            ("judge", "scores"),
            ("judge", "policy"),
        ),
        "wasGeneratedBy": _pairs(
            "prov:entity",
            "prov:activity",
            ("synthetic", "simulate"),
            ("scores", "evaluate"),
            ("verdict", "judge"),
        ),
        "wasDerivedFrom": _pairs(
            "prov:generatedEntity",
            "prov:usedEntity",
            ("synthetic", "knowledge"),
            ("scores", "synthetic"),
            ("verdict", "scores"),
        ),
        "wasAssociatedWith": _pairs("prov:activity", "prov:agent", *((name, "ehrsatz") for name in names)),
        "wasAttributedTo": _pairs("prov:entity", "prov:agent", ("synthetic", "ehrsatz"), ("verdict", "ehrsatz")),
    }


def run_id(contents: Contents) -> str:
    """Return what tells this run from others: the start of a hash over what decides its bytes."""
    facts = [
        __version__,
        dict(contents.scenario),
        dict(contents.generator),
        contents.synthetic.provenance.as_dict(),
        contents.synthetic.schema.fingerprint,
    ]
    return hashlib.sha256(_text(facts).encode()).hexdigest()[:16]


def _subjects(contents: Contents, half: str) -> dict[str, Any]:
    told = contents.scores.get("details", {}) if isinstance(contents.scores, dict) else {}
    return {"ehr:subjects": told.get("subjects", {}).get(half)}


def _about(label: str, kind: str | None, facts: dict[str, Any]) -> dict[str, Any]:
    """Describe one thing; facts that are unknown are left out."""
    given = {} if kind in {None, "prov:Entity"} else {"prov:type": _name(str(kind))}
    return {"prov:label": label, **given, **{key: value for key, value in facts.items() if value is not None}}


def _name(name: str) -> dict[str, str]:
    return {"$": name, "type": "prov:QUALIFIED_NAME"}


def _text(data: Any) -> str:
    return json.dumps(data, sort_keys=True, ensure_ascii=False)


def _pairs(left: str, right: str, *pairs: tuple[str, str]) -> dict[str, dict[str, str]]:
    return {f"_:{left[5]}{right[5]}{n}": {left: f"run:{a}", right: f"run:{b}"} for n, (a, b) in enumerate(pairs)}
