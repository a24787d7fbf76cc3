"""Anonymeter: singling out, linkability, inference of every secret, with the attack numbers of its tutorial."""

from __future__ import annotations

from benchmarks.evidence.peers.base import Run

ATTACKS, AUXILIARY = 2000, 6


def main() -> None:
    """Run the three attacks."""
    run = Run("anonymeter")
    from anonymeter.evaluators import InferenceEvaluator, LinkabilityEvaluator, SinglingOutEvaluator

    train, holdout, made = (run.tables[name] for name in ("train", "holdout", "synthetic"))
    names = list(train.columns)
    secrets = run.spec["secrets"]
    known = [name for name in names if name not in secrets]

    def single(mode: str) -> None:
        SinglingOutEvaluator(ori=train, syn=made, control=holdout, n_attacks=ATTACKS).evaluate(mode=mode)

    def link() -> None:
        parts = known[:AUXILIARY], known[AUXILIARY : 2 * AUXILIARY]
        LinkabilityEvaluator(
            ori=train, syn=made, control=holdout, n_attacks=ATTACKS, aux_cols=parts, n_neighbors=10
        ).evaluate(n_jobs=2)

    def infer(secret: str) -> None:
        InferenceEvaluator(
            ori=train,
            syn=made,
            control=holdout,
            aux_cols=run.spec["quasi"],
            secret=secret,
            n_attacks=ATTACKS,
            regression=run.spec["columns"][secret] != "cat",
        ).evaluate(n_jobs=2)

    run.step("singling out (univariate)", lambda: single("univariate"))
    run.step("singling out (multivariate)", lambda: single("multivariate"))
    run.step("linkability", link)
    for secret in secrets:
        run.step(f"inference of {secret}", lambda secret=secret: infer(secret))
    run.end()


if __name__ == "__main__":
    main()
