"""Latent scores: standard normal, correlated as the matrix says, lasting, and the same for a person in any shard."""

from __future__ import annotations

import numpy as np
import pytest

from ehrsatz.errors import UnknownNameError
from ehrsatz.simulator.process import standard
from ehrsatz.simulator.traits import latent

PEOPLE = 50_000
SOME = ("bmi", "sbp", "dbp", "hdl", "trig", "hba1c", "glucose", "egfr", "urate", "crp", "hemoglobin", "ferritin")


def test_scores_are_standard_normal_and_correlated() -> None:
    processes = standard()
    scores = latent(7, processes, np.arange(PEOPLE), 3)
    z = np.array([scores.grid(name)[:, 2] for name in processes.names], np.float64)
    assert np.abs(z.mean(axis=1)).max() < 0.02
    assert np.abs(z.std(axis=1) - 1).max() < 0.02
    assert np.abs(np.corrcoef(z) - processes.matrix).max() < 0.025  # 4.5 standard errors, over 1,711 pairs
    assert np.abs(np.corrcoef(z) - processes.matrix).mean() < 0.005


def test_between_birthdays_the_variance_stays_one() -> None:
    scores = latent(7, standard(), np.arange(PEOPLE), 3)
    person = np.arange(PEOPLE)
    for name in ("sbp", "crp", "lactate"):
        for age in (0.0, 0.3, 0.5, 2.9):
            assert abs(scores.at(name, person, np.full(PEOPLE, age)).std() - 1) < 0.02


def test_moments_on_birthdays_are_those_of_the_grid() -> None:
    scores = latent(7, standard(), np.arange(50), 20)
    person, age = np.repeat(np.arange(50), 20), np.tile(np.arange(20.0), 50)
    assert np.allclose(scores.at("sbp", person, age), scores.grid("sbp").ravel(), atol=1e-6)


def test_a_person_is_the_same_in_any_shard_and_span() -> None:
    whole = latent(7, standard(), np.arange(100), 60)
    alone = latent(7, standard(), np.array([37]), 25)
    for name in SOME:
        assert np.array_equal(alone.grid(name)[0], whole.grid(name)[37, :25])
    moments = np.array([0.4, 13.7, 24.9])
    assert np.array_equal(alone.at("sbp", np.zeros(3, int), moments), whole.at("sbp", np.full(3, 37), moments))


def test_the_order_of_asking_changes_nothing() -> None:
    one, other = latent(7, standard(), np.arange(20), 10), latent(7, standard(), np.arange(20), 10)
    first = {name: one.grid(name) for name in SOME}
    assert all(np.array_equal(other.grid(name), first[name]) for name in reversed(SOME))


def test_scores_last_as_long_as_their_persistence_says() -> None:
    scores = latent(7, standard(), np.arange(20_000), 41)
    height, lactate = scores.grid("height"), scores.grid("lactate")
    assert np.corrcoef(height[:, 0], height[:, 40])[0, 1] > 0.95
    assert np.corrcoef(lactate[:, 0], lactate[:, 40])[0, 1] < 0.45
    assert np.corrcoef(lactate[:, 20], lactate[:, 21])[0, 1] > np.corrcoef(lactate[:, 20], lactate[:, 25])[0, 1]


def test_another_seed_gives_other_people() -> None:
    one, other = (latent(seed, standard(), np.arange(5_000), 2).grid("sbp")[:, 0] for seed in (1, 2))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.06


def test_an_unknown_process_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="'sbq'"):
        latent(7, standard(), np.arange(2), 2).grid("sbq")


def test_single_years_are_those_of_the_grid_whatever_was_asked_before() -> None:
    fresh, whole = latent(7, standard(), np.arange(50), 20), latent(7, standard(), np.arange(50), 20)
    person, year = np.array([0, 49, 7, 7]), np.array([19, 0, 3, 4])
    for name in SOME:
        wanted = whole.grid(name)[person, year]
        assert np.array_equal(fresh.points(name, person, year), wanted)
        assert np.array_equal(whole.points(name, person, year), wanted)


def test_scores_up_to_the_span_are_those_without_one() -> None:
    span = np.array([0.2, 81.0, 39.9, 40.0, 80.0, 3.0])
    whole, short = (latent(7, standard(), np.arange(6), 90, some) for some in (None, span))
    for name in SOME:
        wanted, got = whole.grid(name), short.grid(name)
        for k, years in enumerate(np.ceil(span).astype(int) + 2):
            assert np.array_equal(wanted[k, :years], got[k, :years])
        person, year = np.repeat(np.arange(6), 3), np.tile([0, 1, 2], 6)
        fresh = latent(7, standard(), np.arange(6), 90, span)
        assert np.array_equal(fresh.points(name, person, year), wanted[person, year])
