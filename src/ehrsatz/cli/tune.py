"""`ehrsatz tune`: search for a generator's settings, and say which to use."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from ehrsatz.cli import options
from ehrsatz.cli.screen import on_stop, progress, say, show_json, show_table


def _samplers(incomplete: str) -> list[str]:
    return [name for name in ("bayesian", "random", "grid") if name.startswith(incomplete)]


def tune(
    out: Annotated[Path, typer.Option(metavar="DIR", help="New or empty folder for the page and the scenario.")],
    from_: options.From = None,
    subject: options.Subject = None,
    target: options.Target = None,
    schema: options.SchemaFile = None,
    table: options.Tables = None,
    sample_subjects: options.SampleSubjects = None,
    from_format: options.FromFormat = None,
    generator: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Method to tune; repeat for more; trees by default.")
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUES",
            help="What to try of a parameter: caution=0.5..4:log, trees.n_trees=4,10; repeat for more.",
        ),
    ] = None,
    sampler: Annotated[
        str, typer.Option(metavar="NAME", autocompletion=_samplers, help="bayesian, random or grid.")
    ] = "bayesian",
    trials: Annotated[int, typer.Option(min=1, help="Settings to try; the same number gives the same result.")] = 30,
    minutes: Annotated[
        float | None,
        typer.Option(help="Start no further trial after so long; how many that are depends on the machine."),
    ] = None,
    most_membership: Annotated[
        float, typer.Option(metavar="AUC", help="Largest AUC of membership inference; 0.5 is no leak.")
    ] = 0.53,
    study: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where trials are kept; beside --out by default.")
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Throw away the trials of a stopped search instead of going on.")
    ] = False,
    seed: options.Seed = None,
    as_json: options.AsJson = False,
) -> int:
    """Search for settings that are faithful, useful and private, and judge the best ones on rows held back for that.

    The defaults of each method are tried first. A stopped search goes on where it was: give the same command again.

    \b
    Examples:
      ehrsatz tune --from patients.csv --target readmitted --out tuned/
      ehrsatz tune --from patients.csv --generator trees --generator bayesnet --trials 60 --minutes 20 --out tuned/
      ehrsatz tune --from patients.csv --sampler grid --search caution=0.5,1,2 --search n_trees=4,10 ... --out tuned/

    Exit codes: 0 done, 1 no setting keeps the privacy limit, 2 wrong usage or bad input, 130 stopped.
    """
    from ehrsatz.scenario import Scenario
    from ehrsatz.tuning.files import study_of, tune_files

    plan = Scenario().changed(
        {
            **options.place(from_),
            "source.subject": subject,
            "source.target": target,
            "source.schema": schema and str(schema),
            "source.tables": table or None,
            "source.sample_subjects": sample_subjects,
            "source.format": from_format,
            "seed": seed,
        }
    )
    place = study or study_of(out)
    on_stop(f"The trials that were done are kept in {place}: the same command goes on from there.")
    with progress(quiet=as_json) as show:
        told = tune_files(
            plan,
            out,
            generators=generator or (),
            search=search or (),
            study=place,
            sampler=sampler,
            trials=trials,
            minutes=minutes,
            most_membership=most_membership,
            restart=restart,
            clock=time.monotonic,
            progress=show,
        )
    if as_json:
        show_json(told)
    else:
        _tell(told, out)
    return 0 if told["recommended"] is not None else 1


def _tell(told: dict[str, Any], out: Path) -> None:
    names = [one["name"] for one in told["measures"]]
    rows = [
        (
            str(one["trial"]),
            one["generator"],
            one["words"],
            *(f"{one['figures'][name]:.3f}" for name in names),
            "recommended" if one["trial"] == told["recommended"] else "",
        )
        for one in told["trials"]
        if one["on_front"]
    ]
    show_table(("trial", "generator", "settings", *names, ""), rows)
    failed = sum(one["state"] == "failed" for one in told["trials"])
    n = len(told["trials"])
    typer.echo(f"{n} trial{'s' if n > 1 else ''}, {failed} failed, {len(rows)} on the front.")
    typer.echo(f"{told['verdict']['heading']}. {told['verdict']['sentence']}")
    if told["search"]["without_utility"]:
        say(f"Note: utility was left out: {told['search']['without_utility']}.")
    typer.echo(f"Read {out / 'tuning.html'} first.")
    if told["scenario"]:
        typer.echo(f"Use it with: ehrsatz fabricate {out / 'scenario.yaml'} --from ...")
