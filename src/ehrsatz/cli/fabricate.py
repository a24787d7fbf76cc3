"""`ehrsatz fabricate`: from knowledge alone or from a real table to a judged release, in one command."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ehrsatz.cli import options, simulated
from ehrsatz.cli.choice import show_choice
from ehrsatz.cli.screen import on_stop, progress, say, show_json, show_table, word_of
from ehrsatz.errors import ScenarioError

if TYPE_CHECKING:
    from ehrsatz.pipeline import Release
    from ehrsatz.scenario import Scenario

FIRST = ("patient", "encounter", "condition", "observation")  # the tables to open first


def fabricate(
    scenario: simulated.Named = None,
    from_: options.From = None,
    subject: options.Subject = None,
    target: options.Target = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="New or empty folder; ./release by default.")] = None,
    schema: options.SchemaFile = None,
    table: options.Tables = None,
    sample_subjects: options.SampleSubjects = None,
    from_format: options.FromFormat = None,
    generator: options.GeneratorName = None,
    param: options.Param = None,
    n: Annotated[int | None, typer.Option(min=1, help="Patients; 1,000, or as many as were learned from.")] = None,
    seed: options.Seed = None,
    locale: simulated.Country = None,
    reference: simulated.Day = None,
    record_years: simulated.Years = None,
    group_of: simulated.GroupOf = None,
    enrich: simulated.Enrich = None,
    prevalence: simulated.Prevalence = None,
    missing: simulated.Missing = None,
    modules: simulated.ModuleFolder = None,
    calibration: simulated.Calibration = None,
    only: simulated.Only = None,
    edge_cases: simulated.EdgeCases = None,
    restart: simulated.Restart = False,
    copies: Annotated[
        int | None, typer.Option(min=1, help="Synthetic copies of n subjects each, for combining rules.")
    ] = None,
    given: options.Given = None,
    group: options.Groups = None,
    duration: options.Duration = None,
    event: options.Event = None,
    formula: options.Formulas = None,
    quasi: options.Quasi = None,
    secret: options.Secrets = None,
    umap: options.Umap = False,
    policy: options.PolicyName = None,
    format_: options.Formats = None,
    mapping: options.MappingFile = None,
    athena: options.Athena = None,
    study_drug: options.StudyDrug = None,
    keep_denied: Annotated[
        bool, typer.Option("--keep-denied", help="Keep the rows even where they are denied.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads, or processes that simulate; never changes the result.")
    ] = None,
    time_budget: Annotated[float | None, typer.Option(metavar="SECONDS", help="For the generator 'auto'.")] = None,
    cost: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what the run took, for `ehrsatz cost`.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Estimate time, memory and size; write nothing.")] = False,
    as_json: options.AsJson = False,
) -> int:
    """Fabricate patients from knowledge alone or from real data, judge them, and release them only past the gate.

    Without --from, patients are simulated: whole records from published figures, no data needed. SCENARIO names a
    bundled cohort or a file. With --from, a method learns from one half of a table and is judged by the other half.
    Options win over the file.

    \b
    Examples:
      ehrsatz fabricate
      ehrsatz fabricate diabetes-registry --n 5000 --seed 7 --out registry/
      ehrsatz fabricate --locale uk --n 200 --format parquet --out uk/
      ehrsatz fabricate --group-of "n=400 sex=female age=60..75 conditions=ckd:3b medications=metformin" --out ckd/
      ehrsatz fabricate --from patients.csv --subject patient_id --target readmitted --out release/
      ehrsatz fabricate --from patients.csv --given sex=F --given age=40..60 --n 500 --out women/

    Exit codes: 0 released, 1 held or denied, 2 wrong usage or bad input, 130 stopped.
    """
    from ehrsatz import pipeline
    from ehrsatz.steps import check_new_file, write_text

    plan = _plan(scenario, from_, bool(generator or param))
    learning: dict[str, Any] = {
        "--from": from_,
        "--subject": subject,
        "--target": target,
        "--schema": schema and str(schema),
        "--table": table or None,
        "--sample-subjects": sample_subjects,
        "--from-format": from_format,
        "--generator": generator,
        "--param": options.parameters(param) or None,
        "--copies": copies,
        "--given": options.conditions(given) or None,
        "--group": group or None,
        "--duration": duration,
        "--event": event,
        "--formula": formula or None,
        "--quasi": quasi or None,
        "--secret": secret or None,
        "--umap": umap or None,
        "--time-budget": time_budget,
    }
    of_cohorts = {
        "--locale": locale,
        "--reference": reference,
        "--record-years": record_years,
        "--group-of": group_of or None,
        "--enrich": enrich or None,
        "--prevalence": prevalence or None,
        "--missing": missing or None,
        "--modules": modules,
        "--calibration": calibration,
        "--only": only or None,
        "--edge-cases": edge_cases or None,
        "--restart": restart or None,
    }
    if plan.simulator is not None:
        _refuse(learning, "one of a run that learns from a table", f"{_AS_TABLE} Or leave it out.")
        changes = simulated.changes(
            plan,
            groups=group_of,
            enrich=enrich,
            prevalence=prevalence,
            missing=missing,
            record_years=record_years,
            n=n,
            policy=policy,
            locale=locale,
            reference=reference,
            modules=modules,
            calibration=calibration,
            only=only or None,
            edge_cases=edge_cases or None,
        )
    else:
        _refuse(of_cohorts, "one of a simulated cohort", "Leave it out; or leave --from out, to simulate.")
        changes = {**options.place(from_), **{_KEYS[name]: value for name, value in learning.items() if name in _KEYS}}
        changes |= {"n": n, "policy": policy}
    plan = plan.changed(
        {
            **changes,
            "seed": seed,
            "output.folder": out and str(out),
            "output.formats": options.formats(format_),
            "output.mapping": mapping and str(mapping),
            "source.mapping": None if mapping is None or from_ is None else str(mapping),
            "output.athena": athena and str(athena),
            "output.study_drug": study_drug,
            "output.keep_denied": keep_denied or None,
            "workers": workers,
        }
    )
    if cost is not None:
        check_new_file(cost)
    if dry_run:
        return _estimate(plan, as_json)
    if plan.simulator is not None:
        on_stop(_kept(Path(plan.output.folder)))
    with progress(quiet=as_json) as show:
        more = {} if plan.simulator is None else {"restart": restart}
        release = pipeline.fabricate(plan, progress=show, **more)
    if cost is not None:
        write_text(cost, json.dumps(release.cost.to_dict(), indent=2) + "\n")
    if as_json:
        show_json(release.to_dict())
    else:
        _tell(release, plan)
    return 0 if release.decision == "pass" else 1


_KEYS = {  # option of a run that learns from a table -> key of a scenario
    "--subject": "source.subject",
    "--target": "source.target",
    "--schema": "source.schema",
    "--from-format": "source.format",
    "--table": "source.tables",
    "--sample-subjects": "source.sample_subjects",
    "--generator": "generator.name",
    "--param": "generator.parameters",
    "--copies": "copies",
    "--given": "given",
    "--group": "evaluation.groups",
    "--duration": "evaluation.duration",
    "--event": "evaluation.event",
    "--formula": "evaluation.formulas",
    "--quasi": "evaluation.quasi",
    "--secret": "evaluation.secrets",
    "--umap": "evaluation.umap",
    "--time-budget": "time_budget",
}
_AS_TABLE = "Name a table with --from, as in --from heart_disease_uci, the public one that ships."


def _plan(scenario: str | None, from_: str | None, method: bool) -> Scenario:
    """Return what is to be run, before options change it; a method of the user's own leaves out the example's."""
    from ehrsatz.scenario import BUNDLED, Scenario

    if scenario is not None:
        return simulated.find(scenario)
    if from_ is None:
        return Scenario.cohort()
    return Scenario.example() if from_ in BUNDLED and not method else Scenario()


def _refuse(given: Mapping[str, Any], what: str, advice: str) -> None:
    wrong = [name for name, value in given.items() if value is not None]
    if wrong:
        raise ScenarioError("Expected options that fit the run.", f"{wrong[0]} is {what}.", advice)


def _kept(folder: Path) -> str:
    """What to say of a simulated cohort when its run is stopped."""
    return (
        "Nothing half written was left. The same command goes on from the shards that were finished; "
        f"they wait beside {folder} (--restart throws them away)."
    )


def _estimate(plan: Scenario, as_json: bool) -> int:
    from ehrsatz.estimate import estimate, estimate_cohort

    with progress(quiet=as_json) as show:
        told = estimate(plan, progress=show) if plan.simulator is None else estimate_cohort(plan)
    if as_json:
        show_json(told.to_dict())
    else:
        show_table(("step", "estimate"), told.lines())
        say("Nothing was written.")
    return 0


def _tell(release: Release, plan: Scenario) -> None:
    if "choice" in release.generator:
        show_choice(release.generator["choice"])
    checks = release.verdict.checks
    apart = [one for one in checks if plan.simulator is not None and one.state == "does not apply"]
    beside = plan.simulator is None or any(one.reference is not None for one in checks)  # the same score of real data
    rows = [
        (
            word_of(check),
            check.name,
            "-" if check.value is None else f"{check.value:.3f}",
            *(["-" if check.reference is None else f"{check.reference:.3f}"] if beside else []),
            check.threshold,
            check.severity,
        )
        for check in checks
        if check not in apart
    ]
    show_table(("", "check", "value", *(["real data"] if beside else []), "limit", "if missed"), rows)
    if apart:
        typer.echo(f"Does not apply here: {', '.join(dict.fromkeys(one.name for one in apart))}.")
    told = {
        "pass": "RELEASED",
        "hold": "HELD: a person must decide",
        "deny": f"DENIED: the rows were {'kept, as asked' if release.data_kept else 'not kept'}",
    }[release.decision]
    per = f", {release.n_rows / release.n_subjects:,.0f} a patient" if plan.simulator and release.n_subjects else ""
    typer.echo(
        f"{told}. {release.n_subjects:,} {'patients' if plan.simulator else 'subjects'}, {release.n_rows:,} rows{per}."
    )
    for reason in release.verdict.reasons:
        typer.echo(f"  - {reason}")
    if plan.simulator is not None and release.data_kept:
        typer.echo(_written(release.folder, plan.output.formats))
    typer.echo(f"Read {release.folder / 'report.html'} first. Check the folder with: ehrsatz verify {release.folder}")
    say(release.cost.told())


def _written(folder: Path, formats: Sequence[str]) -> str:
    """Where the tables of a simulated cohort are, how large they are, and which to open first."""
    files = [path for path in (folder / "data").rglob("*") if path.is_file()]
    tables = {re.split(r"[-.]", path.name)[0] for path in files if path.parent == folder / "data"}
    size = sum(path.stat().st_size for path in files) / 2**20
    what = f"{len(tables)} tables" if tables else "records"
    named = formats[0] if len(formats) == 1 else f"{', '.join(formats[:-1])} and {formats[-1]}"
    told = f"Written: {what} as {named}, {size:,.0f} MB, in {folder / 'data'}."
    first = [name for name in FIRST if name in tables]
    return f"{told} Open first: {', '.join(first)}; joined by patient_id." if len(first) > 1 else told
