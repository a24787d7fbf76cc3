"""SynthEval: its full preset, part by part."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.evidence.peers.base import Run


def main() -> None:
    """Run each metric of the full preset by itself, so that one that fails or never ends does not hide the others."""
    run = Run("syntheval")
    import syntheval as package
    from syntheval import SynthEval

    train, holdout, made = (run.tables[name] for name in ("train", "holdout", "synthetic"))
    preset = json.loads((Path(package.__file__).parent / "presets" / "full_eval.json").read_text())
    categories = [name for name, kind in run.spec["columns"].items() if kind == "cat"]

    def one(name: str) -> None:
        evaluator = SynthEval(
            train, holdout_dataframe=holdout, cat_cols=categories, verbose=False, console="off", enable_plots=False
        )
        evaluator.evaluate(made, analysis_target=run.spec["target"], **{name: preset[name]})

    for name in preset:
        run.step(name, lambda name=name: one(name))
    run.end()


if __name__ == "__main__":
    main()
