"""Three-way margins: by hand, by brute force, and the choice of triples."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from ehrsatz.evaluation.fidelity.association import Pairs
from ehrsatz.evaluation.fidelity.threeway import TRIPLES, ThreeWay, triples
from ehrsatz.seeds import stream
from ehrsatz.testing import check_metric
from evaluation.fidelity.randoms import SEEDS
from evaluation.tables import population, shuffled, table, unrelated


def bits(rows: list[str]) -> object:
    return table({name: ("category", [row[i] for row in rows]) for i, name in enumerate("abc")})


def test_a_relation_that_no_pair_shows() -> None:
    even, odd = bits(["000", "011", "101", "110"] * 10), bits(["001", "010", "100", "111"] * 10)
    assert Pairs().compute(even, even, odd, seed=1).value == pytest.approx(1.0)  # every two columns agree
    score = ThreeWay().compute(even, even, odd, seed=1)
    assert score.value == 0 and score.reference == pytest.approx(1.0)
    assert score.baseline == pytest.approx(0.5, abs=0.15)  # shuffled columns spread over all eight cells
    assert score.details["worst"] == [{"columns": ["a", "b", "c"], "similarity": 0.0}]


def test_contract_identical_unrelated_and_order() -> None:
    check_metric(ThreeWay, population(600, 3))
    a, b, c = population(300, 1), population(300, 2), population(300, 4)
    assert ThreeWay().compute(a, a, a, seed=1).value == pytest.approx(1.0)
    score = ThreeWay().compute(a, b, c, seed=1)
    assert ThreeWay().compute(a, b, unrelated(c), seed=1).value < score.value
    assert ThreeWay().compute(shuffled(a, 1), shuffled(b, 2), shuffled(c, 3), seed=1).to_dict() == score.to_dict()
    assert score.params["triples"] == score.params["of_triples"] == 35


def test_two_columns_are_not_measured() -> None:
    two = table({"a": ("category", ["x", "y"] * 10), "b": ("category", ["x", "y"] * 10)})
    score = ThreeWay().compute(two, two, two, seed=1)
    assert score.status == "not_applicable" and "three columns" in score.meaning


@pytest.mark.parametrize("seed", SEEDS)
def test_agrees_with_counting_rows(seed: int) -> None:
    rng = stream(seed, "threes")

    def rows(n: int, shift: float) -> list[list[str]]:
        z = rng.normal(size=n)
        return [
            [
                None if rng.random() < 0.05 else "uvw"[int(np.clip(one + 1 + shift * i + rng.normal(), 0, 2))]
                for i in range(4)
            ]
            for one in z
        ]

    real, made = rows(200, 0.0), rows(150, 0.2)
    data = [table({f"c{i}": ("category", [row[i] for row in one]) for i in range(4)}) for one in (real, made)]
    expected = []
    for i, j, k in combinations(range(4), 3):
        tally: dict = {}
        for sign, one in ((1, real), (-1, made)):
            for row in one:
                cell = row[i], row[j], row[k]
                tally[cell] = tally.get(cell, 0) + sign / len(one)
        expected.append(1 - sum(abs(x) for x in tally.values()) / 2)
    score = ThreeWay().compute(data[0], data[0], data[1], seed=1)
    assert score.value == pytest.approx(np.mean(expected), abs=1e-6)
    assert [one["similarity"] for one in score.details["worst"]] == pytest.approx(sorted(expected), abs=1e-6)


def test_triples_are_all_or_a_seeded_choice() -> None:
    assert triples(5, stream(1, "t")) == list(combinations(range(5), 3))
    chosen = triples(200, stream(1, "t"))
    assert len(set(chosen)) == TRIPLES and chosen == triples(200, stream(1, "t")) != triples(200, stream(2, "t"))
    assert all(0 <= i < j < k < 200 for i, j, k in chosen)
    seen = np.bincount(np.array(chosen).reshape(-1), minlength=200)
    assert seen.min() > 0 and seen.max() < 60  # 30 each on average


@pytest.mark.parametrize("metric", [Pairs, ThreeWay])
def test_without_skill_is_a_sample_too(metric: type) -> None:
    """Few rows, many cells: margins of independent columns without chance in them would lie above fresh real rows."""
    a, b, c = population(200, 1), population(200, 2), population(200, 4)
    score = metric().compute(a, b, c, seed=1)
    assert score.baseline < score.reference
    assert metric().compute(a, b, unrelated(a), seed=1).value == pytest.approx(score.baseline, abs=0.05)
