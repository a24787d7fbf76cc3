"""SDMetrics: quality and diagnostic reports, detection, efficacy, its privacy measures."""

from __future__ import annotations

from benchmarks.evidence.peers.base import Run


def main() -> None:
    """Run every part of SDMetrics that a single table has."""
    run = Run("sdmetrics")
    from sdmetrics.reports.single_table import DiagnosticReport, QualityReport
    from sdmetrics.single_table import (
        DCRBaselineProtection,
        DCROverfittingProtection,
        LogisticDetection,
        MulticlassDecisionTreeClassifier,
        NewRowSynthesis,
    )

    train, holdout, made = (run.tables[name] for name in ("train", "holdout", "synthetic"))
    kinds = {"cat": "categorical", "int": "numerical", "num": "numerical"}
    about = {"columns": {name: {"sdtype": kinds[kind]} for name, kind in run.spec["columns"].items()}}
    run.step("columns and pairs (quality report)", lambda: QualityReport().generate(train, made, about, verbose=False))
    run.step("diagnostic report", lambda: DiagnosticReport().generate(train, made, about, verbose=False))
    run.step("detection (logistic)", lambda: LogisticDetection.compute(train, made, metadata=about))
    run.step(
        "prediction (decision tree)",
        lambda: MulticlassDecisionTreeClassifier.compute(
            test_data=holdout, train_data=made, target=run.spec["target"], metadata=about
        ),
    )
    run.step("new rows", lambda: NewRowSynthesis.compute(train, made, metadata=about, synthetic_sample_size=2000))
    run.step(
        "distance to train and holdout",
        lambda: DCROverfittingProtection.compute(
            real_training_data=train,
            synthetic_data=made,
            real_validation_data=holdout,
            metadata=about,
            table_name="table",
        ),
    )
    run.step(
        "distance against random rows",
        lambda: DCRBaselineProtection.compute(real_data=train, synthetic_data=made, metadata=about, table_name="table"),
    )
    run.end()


if __name__ == "__main__":
    main()
