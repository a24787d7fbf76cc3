"""The tables of the speed benchmark: train, holdout and synthetic, diabetes130 as far as it reaches.

Up to 25,000 rows train and holdout are encounters of different patients and the synthetic rows come from `trees`,
learned from train. Above that all three come from `trees`, learned from 50,000 encounters: time and memory do not ask
which rows are real.
"""

from __future__ import annotations

import json
from pathlib import Path

import ehrsatz

SUBJECT, TARGET = "patient_nbr", "readmitted"
QUASI = ["race", "gender", "age"]
SECRETS = ["diag_1", "medical_specialty", "time_in_hospital", "A1Cresult"]
REAL_MOST = 25_000


def make(data: Path, n: int, folder: Path) -> None:
    """Write train.csv, holdout.csv, synthetic.csv, schema.yaml and spec.json, each with about n rows.

    Parameters
    ----------
    data
        Folder of the public data sets.
    n
        Encounters per table.
    folder
        Where to write; made when absent.
    """
    folder.mkdir(parents=True, exist_ok=True)
    real = ehrsatz.read(data / "diabetes130" / "diabetic_data.csv.gz", subject=SUBJECT, target=TARGET)
    rows_per_subject = real.n_rows / real.n_subjects
    size = min(n, REAL_MOST) if n <= REAL_MOST else 50_000
    train, rest = real.split(min(0.5, size / real.n_rows), seed=1)
    engine = ehrsatz.generator("trees").fit(train, seed=1)
    subjects = round(n / rows_per_subject)
    if n <= REAL_MOST:
        holdout, _ = rest.split(min(0.999, size / rest.n_rows), seed=2)
        made = engine.sample(subjects, seed=1)
    else:
        train, holdout, made = (engine.sample(subjects, seed=1, first=i * subjects) for i in range(3))
    kinds = {}
    for column in train.schema.parent.columns:
        if column.disclosure != "direct":
            kinds[column.name] = {"integer": "int", "number": "num"}.get(column.kind, "cat")
    for name, dataset in (("train", train), ("holdout", holdout), ("synthetic", made)):
        dataset.table.select(list(kinds)).write_csv(folder / f"{name}.csv")
        whole = ehrsatz.export(dataset, folder / f"whole-{name}", formats=["csv"], allow_real=True)[0]
        whole.rename(folder / f"whole-{name}.csv")  # spelled as the source spells it
        (folder / f"whole-{name}").rmdir()
    (folder / "schema.yaml").write_text(train.schema.to_yaml(), encoding="utf-8")
    spec = {
        "rows": {name: d.n_rows for name, d in (("train", train), ("holdout", holdout), ("synthetic", made))},
        "columns": kinds,
        "subject": SUBJECT,
        "target": TARGET,
        "quasi": QUASI,
        "secrets": SECRETS,
    }
    (folder / "spec.json").write_text(json.dumps(spec, indent=1) + "\n", encoding="utf-8")
