"""`ehrsatz review`: a blinded sheet for experts, and what their answers say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ehrsatz.cli import options
from ehrsatz.cli.screen import say, show_json, show_table

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def review() -> None:
    """Let people who know patients read a blinded sheet of records, and hold their answers against the key.

    \b
    Examples:
      ehrsatz review draw release/ --out review/
      ehrsatz review read --key review/keep/key.json answers-ab.csv answers-cd.csv --scores release/scores.json \\
        --into scores.json
    """


@app.command(short_help="Draw a blinded sheet and its answer key.")
def draw(
    synthetic: Annotated[Path, typer.Argument(metavar="PATH", help="A release folder, or synthetic rows.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="New folder: send/ for the experts, keep/ for the house.")],
    schema: options.SchemaFile = None,
    subject: options.Subject = None,
    n: Annotated[int, typer.Option(min=10, max=1000, help="Records on the sheet.")] = 40,
    errors: Annotated[
        int | None, typer.Option(min=0, help="Records with a planted error; half, or a fifth beside real records.")
    ] = None,
    real: Annotated[str | None, typer.Option(metavar="PATH", help="Real rows to mix in; needs --show-real.")] = None,
    show_real: Annotated[
        bool, typer.Option("--show-real", help="Show real rows; the policy's audience must be internal.")
    ] = False,
    policy: options.PolicyName = None,
    title: Annotated[str, typer.Option(help="Heading of the sheet.")] = "Review of records",
    seed: options.Seed = None,
    as_json: options.AsJson = False,
) -> None:
    """Draw a blinded sheet: synthetic records, some with a planted error; real ones beside them where policy allows.

    \b
    Examples:
      ehrsatz review draw release/ --out review/
      ehrsatz review draw synthetic.csv --schema schema.yaml --real holdout.csv --show-real --n 200 --out review/
    """
    from ehrsatz import steps

    drawn = steps.draw_sheet(
        synthetic,
        out,
        schema_file=schema,
        subject=subject,
        n=n,
        errors=errors,
        real=real,
        show_real=show_real,
        policy=policy,
        title=title,
        seed=seed or 0,
    )
    kinds = [one["is"] for one in drawn.key["records"].values()]
    tally = {kind: kinds.count(kind) for kind in ("synthetic", "planted", "real")}
    if as_json:
        show_json({"folder": str(out), "sheet": drawn.key["sheet"], "mode": drawn.key["mode"], "records": tally})
        return
    show_table(("records", "number"), [(kind, str(number)) for kind, number in tally.items() if number])
    say(f"Send '{out / 'send'}' to the experts. Keep '{out / 'keep'}' in the house: it says which record is what.")
    if tally["real"]:
        say("The sheet holds records of real people: it must not leave the house.")


@app.command(short_help="Read back the answers.")
def read(
    answers: Annotated[list[Path], typer.Argument(metavar="ANSWERS.CSV...", help="One file per rater.")],
    key: Annotated[Path, typer.Option(metavar="FILE", help="key.json of the sheet.")],
    margin: Annotated[
        float, typer.Option(min=0.01, max=0.49, help="How far from 50 % still counts as 'cannot tell'.")
    ] = 0.1,
    partial: Annotated[bool, typer.Option("--partial", help="Take sheets with records left unanswered.")] = False,
    scores: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Scores of the evaluation, to put the review's beside.")
    ] = None,
    into: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the scores with the review's in it.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write everything, remarks too, as JSON; for the house.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Hold the experts' answers against the key: can they tell, do they agree, what did they remark.

    \b
    Examples:
      ehrsatz review read --key review/keep/key.json answers-ab.csv --out review.json
      ehrsatz review read --key review/keep/key.json *.csv --scores release/scores.json --into scores.json
    """
    from ehrsatz import steps

    if scores is not None and into is None:
        raise typer.BadParameter("expected --into FILE beside --scores: where to write the scores with the review's")
    steps.check_new_files(into, out)
    found = steps.read_review(answers, key, margin=margin, partial=partial)
    if into is not None:
        steps.write_text(into, steps.scores_with_review(scores, found.score))
    told = {**found.told, "score": found.score.to_dict()}
    if out is not None:
        steps.write_text(out, json.dumps(told, ensure_ascii=False, indent=2, sort_keys=True) + "\n")
    if as_json:
        show_json(told)
        return
    show_table(("", "found", "95 % interval", "answers"), _rows(found.told))
    for note in found.told["notes"]:
        say(f"Note: {note}")
    remarks = len(found.told["remarks"])
    where = " (--out writes them)" if remarks and out is None else ""
    say(f"{found.score.meaning} Remarks: {remarks}{where}.")


def _rows(told: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """What was found, line by line: accepted by kind, can they tell, each rater, agreement, errors found."""
    word = "taken for real" if told["mode"] == "real" else "found plausible"
    rows = [
        (f"{kind} records {word}", _share(one["accepted"]), _ends(one["interval"]), str(one["answers"]))
        for kind, one in told["accepted"].items()
    ]
    tell = told["tell"]
    if tell is not None:
        apart = " from ".join(tell["apart"])
        rows.append((f"told {apart}", _share(tell["accuracy"]), _ends(tell["interval"]), str(tell["answers"])))
        for name in ("sensitivity", "specificity"):
            if name in tell:
                one = tell[name]
                rows.append((f"  {name}", _share(one["share"]), _ends(one["interval"]), str(one["answers"])))
        if tell.get("equivalence_p") is not None:
            shown = "yes" if tell["equivalent"] else "not shown"
            what = f"cannot tell, within {100 * tell['margin']:g} % of guessing"
            rows.append((what, f"{shown} (p = {tell['equivalence_p']:.3f})", "", ""))
    rows += [
        (f"rater {one['rater']} told right", _share(one["accuracy"]), _ends(one["interval"]), str(one["n"]))
        for one in told["raters"]
        if "accuracy" in one and len(told["raters"]) > 1
    ]
    agreement = told["agreement"]
    if agreement is not None and agreement["value"] is not None:
        low, high = agreement["interval"]
        ends = f"{low:.2f} to {high:.2f}"
        rows.append((agreement["measure"], f"{agreement['value']:.2f}", ends, f"{agreement['records']} records"))
    rows += [
        (f"found: {one['error']}", f"{one['found']} of {one['of']}", _ends(one["interval"]), str(one["of"]))
        for one in told["errors_found"]
    ]
    return rows


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


def _ends(interval: Sequence[float]) -> str:
    return f"{100 * interval[0]:.0f} to {100 * interval[1]:.0f} %"
