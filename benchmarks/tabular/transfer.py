"""What starting from a model of the common disease gives when the rare one has few rows.

`python -m benchmarks.tabular.transfer` from the root of the repository. Patients of support2 in coma are the rare
disease, those of all other classes the common one. A network learns from few coma patients alone, and from them after
it has learned from the common ones; `trees` learns from the few. Other coma patients are the measure.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from ehrsatz import registry
from ehrsatz.dataset import Dataset
from ehrsatz.generators.build import generator
from ehrsatz.generators.heldout import Yardstick
from ehrsatz.reading import read
from ehrsatz.seeds import stream

HERE = Path(__file__).resolve().parent
CLASS, RARE = "dzclass", "Coma"
HIDDEN = (CLASS, "dzgroup")  # no column says which disease it is


def main() -> None:
    """Learn, adapt, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--results", type=Path, default=HERE / "results" / "transfer.json")
    parser.add_argument("--networks", nargs="+", default=["autoregressive", "vae"])
    parser.add_argument("--few", nargs="+", type=int, default=[60, 150])
    parser.add_argument("--common", type=int, default=3_000)
    given = parser.parse_args()
    whole = read(given.data / "support2" / "support2.csv.gz")
    frame = whole.table
    schema = whole.schema.replace_table(
        type(whole.schema.parent)(
            whole.schema.parent.name, tuple(one for one in whole.schema.parent.columns if one.name not in HIDDEN)
        )
    )
    rng = stream(1, "transfer")
    rare, common = (frame.filter(one).drop(HIDDEN) for one in (pl.col(CLASS) == RARE, pl.col(CLASS) != RARE))
    rare = rare[rng.permutation(rare.height).tolist()]
    base = Dataset(schema, {schema.parent.name: common[: given.common]}, whole.provenance)
    rows = []
    with TemporaryDirectory() as place:
        for network in given.networks:
            generator(network, device="cpu").fit(base, seed=1).save(Path(place) / network)
        for n in given.few:
            few, rest = (
                Dataset(schema, {schema.parent.name: part}, whole.provenance)
                for part in (rare[:n], rare[max(given.few) :])
            )
            ways: dict[str, dict[str, str]] = {"trees": {}}
            for network in given.networks:
                ways |= {network: {"device": "cpu"}, f"{network} from common": {"start": str(Path(place) / network)}}
            for way, options in ways.items():
                begun = time.process_time()
                model = generator(way.split()[0], **options).fit(few, seed=1)
                spent = time.process_time() - begun
                drawn = model.sample(rest.n_subjects, seed=2)
                stick = Yardstick(schema.parent, few.table, rest.table, min_subjects=5, seed=1)
                detection = registry.find("metrics", "detection")().compute(few, rest, drawn, seed=1)
                rows.append(
                    {
                        "few": n,
                        "way": way,
                        "distance": round(stick.distance(drawn.table), 4),
                        "detection": None if detection.value is None else round(float(np.round(detection.value, 4)), 4),
                        "fit_cpu_s": round(spent, 1),
                    }
                )
                print(rows[-1], flush=True)
    given.results.write_text(json.dumps({"common": given.common, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    print("| rows of the rare disease | learned by | distance | detection AUC | fit, CPU s |\n|---|---|---|---|---|")
    for row in rows:
        print("| {few} | {way} | {distance:.3f} | {detection} | {fit_cpu_s} |".format(**row))


if __name__ == "__main__":
    main()
