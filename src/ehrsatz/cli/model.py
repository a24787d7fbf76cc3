"""`ehrsatz fit` and `ehrsatz sample`: learn a model folder, draw rows from one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ehrsatz.cli import options
from ehrsatz.cli.choice import show_choice
from ehrsatz.cli.screen import on_stop, progress, say, show_json


def fit(
    out: Annotated[Path, typer.Option(metavar="DIR", help="New or empty folder for the model.")],
    from_: options.From = None,
    subject: options.Subject = None,
    schema: options.SchemaFile = None,
    table: options.Tables = None,
    sample_subjects: options.SampleSubjects = None,
    generator: options.GeneratorName = None,
    param: options.Param = None,
    seed: options.Seed = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads; the result does not depend on it.")] = None,
    time_budget: Annotated[float | None, typer.Option(metavar="SECONDS", help="For the generator 'auto'.")] = None,
    start: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Saved network of the same columns to learn on from.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where a network keeps its state, to go on from after a stop.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Learn from every subject of a table and save the model; nothing is held out and nothing is judged.

    \b
    Examples:
      ehrsatz fit --from patients.csv --subject patient_id --out model/
      ehrsatz fit --from patients.csv --generator copula --out model/
      ehrsatz fit --from patients.csv --generator diffusion --checkpoint state/ --out model/
      ehrsatz fit --from rare.csv --generator diffusion --start model/ --out rare-model/
    """
    from ehrsatz import steps
    from ehrsatz.generators.build import described
    from ehrsatz.scenario import Scenario

    places = {"start": start and str(start), "checkpoint": checkpoint and str(checkpoint)}
    places = {name: place for name, place in places.items() if place is not None}
    plan = Scenario().changed(
        {
            **options.place(from_),
            "source.subject": subject,
            "source.schema": schema and str(schema),
            "source.tables": table or None,
            "source.sample_subjects": sample_subjects,
            "generator.name": generator,
            "generator.parameters": {**options.parameters(param), **places} or None,
            "seed": seed,
            "workers": workers,
            "time_budget": time_budget,
        }
    )
    if checkpoint is not None:
        on_stop(f"The same command goes on from the checkpoint in {checkpoint}.")
    with progress(quiet=as_json) as show:
        model = steps.fit_model(plan, out, progress=show)
    told = {"generator": model.name, "n_subjects": model.n_subjects_, "folder": str(out)}
    choice = described(model).get("choice")
    if as_json:
        show_json(told if choice is None else {**told, "choice": choice})
    else:
        if choice is not None:
            show_choice(choice)
        say(f"Learned '{model.name}' from {model.n_subjects_:,} subjects. Draw rows with: ehrsatz sample --model {out}")


def sample(
    model: Annotated[Path, typer.Option(metavar="DIR", help="Folder that `ehrsatz fit` wrote.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="New or empty folder for the rows.")],
    n: Annotated[int | None, typer.Option(min=1, help="Subjects to draw; as many as were learned from.")] = None,
    seed: options.Seed = None,
    given: options.Given = None,
    format_: options.Formats = None,
    workers: Annotated[int, typer.Option(min=1, help="Threads; the result does not depend on it.")] = 1,
    as_json: options.AsJson = False,
) -> None:
    """Draw rows from a saved model. They are not judged: compare them with `ehrsatz evaluate` before they leave.

    \b
    Examples:
      ehrsatz sample --model model/ --n 1000 --out rows/
      ehrsatz sample --model model/ --n 500 --given sex=F --given age=40..60 --out women/
    """
    from ehrsatz import steps

    with progress(quiet=as_json) as show:
        drawn = steps.sample_model(
            model,
            out,
            n=n,
            seed=seed or 0,
            given=options.conditions(given),
            formats=options.formats(format_) or ["csv"],
            workers=workers,
            progress=show,
        )
    told = {"n_subjects": drawn.n_subjects, "n_rows": drawn.n_rows, "folder": str(out)}
    if as_json:
        show_json(told)
    else:
        say(f"Drew {drawn.n_subjects:,} subjects, {drawn.n_rows:,} rows, into {out}. They are not judged yet.")
