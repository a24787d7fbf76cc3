"""The engine against what can be reckoned by hand: rates, risks, stages, drugs, episodes, deaths, pins, sameness."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ehrsatz.simulator.baseline import AGES, smooth, sustaining
from ehrsatz.simulator.history import YEAR, ordinals
from simulator.small import REFERENCE, flat, folk, knowledge, lives, module, pin

N = 20_000


def age_of(history, spells):  # type: ignore[no-untyped-def]
    return (spells.onset - history.people.birth[spells.person]) / YEAR


def test_a_constant_rate_gives_exponential_ages() -> None:
    known = knowledge(module([{"id": "a", "incidence": flat(0.02)}]))
    history = lives(known, folk(N))
    found = history.spells["a"]
    assert len(found.person) / N == pytest.approx(1 - np.exp(-0.02 * 60), abs=0.012)
    age = age_of(history, found)
    assert np.mean(age < 30) == pytest.approx((1 - np.exp(-0.6)) / (1 - np.exp(-1.2)), abs=0.015)
    assert (found.onset < REFERENCE).all() and (age >= 0).all()


def test_rates_by_age_and_sex_hold_from_the_band_on() -> None:
    table = {"ages": [0, 40], "female": [0.0, 0.05], "male": [0.0, 0.01]}
    history = lives(knowledge(module([{"id": "a", "incidence": table}])), folk(N))
    found = history.spells["a"]
    assert age_of(history, found).min() >= 40
    women = history.people.sex[found.person] == 0
    assert women.sum() / (N / 2) == pytest.approx(1 - np.exp(-1.0), abs=0.015)
    assert (~women).sum() / (N / 2) == pytest.approx(1 - np.exp(-0.2), abs=0.015)


def test_risks_multiply_the_rate() -> None:
    parts = [
        {"id": "cause", "birth": flat(0.5)},
        {"id": "a", "incidence": flat(0.002), "risk": [{"factor": "cause", "ratio": 5.0}]},
        {"id": "b", "incidence": flat(0.002), "risk": [{"factor": "sbp", "ratio": 2.0, "per": 10, "start": 100}]},
    ]
    history = lives(knowledge(module(parts)), folk(N))
    with_cause = np.zeros(N, bool)
    with_cause[history.spells["cause"].person] = True
    ill = np.zeros(N, bool)
    ill[history.spells["a"].person] = True
    assert ill[with_cause].mean() == pytest.approx(1 - np.exp(-0.6), abs=0.015)
    assert ill[~with_cause].mean() == pytest.approx(1 - np.exp(-0.12), abs=0.01)
    level = history.levels.at("sbp", np.arange(N), np.full(N, REFERENCE))
    sick = np.zeros(N, bool)
    sick[history.spells["b"].person] = True
    high, low = level > 110, level < 90
    assert sick[high].mean() > 3 * sick[low].mean()


def test_what_is_required_comes_first_and_what_is_excluded_never() -> None:
    parts = [
        {"id": "cause", "incidence": flat(0.03)},
        {"id": "a", "incidence": flat(0.2), "requires": ["cause"]},
        {"id": "b", "incidence": flat(0.2), "excludes": ["cause"]},
    ]
    history = lives(knowledge(module(parts)), folk(N))
    start = np.full(N, np.inf)
    start[history.spells["cause"].person] = history.spells["cause"].onset
    a, b = history.spells["a"], history.spells["b"]
    assert len(a.person) and (a.onset >= start[a.person]).all()
    assert len(b.person) and (b.onset <= start[b.person]).all()


def test_stages_are_reached_in_order_and_start_as_shared() -> None:
    stages = [
        {"id": "one", "title": "one", "at_onset": 0.7},
        {"id": "two", "title": "two", "at_onset": 0.3, "per_year": 0.1},
        {"id": "three", "title": "three", "at_onset": 0.0, "per_year": 0.1},
    ]
    history = lives(knowledge(module([{"id": "a", "birth": flat(1.0), "stages": stages}])), folk(N, age=20.0))
    reached = history.spells["a"].stage_from
    assert np.isnan(reached[:, 0]).mean() == pytest.approx(0.3, abs=0.01)
    both = np.isfinite(reached[:, 0]) & np.isfinite(reached[:, 1])
    assert (reached[both, 0] <= reached[both, 1]).all()
    third = np.isfinite(reached[:, 2])
    assert third.any() and (reached[third, 1] <= reached[third, 2]).all()
    from_one = ~np.isnan(reached[:, 0])
    assert np.isfinite(reached[from_one, 1]).mean() == pytest.approx(1 - np.exp(-2.0), abs=0.015)


def test_remission_ends_a_condition() -> None:
    history = lives(knowledge(module([{"id": "a", "birth": flat(1.0), "remission_per_year": 0.1}])), folk(N, age=10.0))
    assert np.isfinite(history.spells["a"].stop).mean() == pytest.approx(1 - np.exp(-1.0), abs=0.015)


def test_drugs_lower_what_they_treat_and_stop_for_reasons() -> None:
    drug = {
        "id": "pill", "rxnorm": "1", "dose": 1.0, "dose_unit": "mg", "route": "oral", "per_day": 1.0, "share": 0.5,
        "delay_years": 0.01, "effects": [{"process": "sbp", "shift": -20.0}], "stop_per_year": 0.05,
        "stop_reasons": {"choice": 0.75, "harm": 0.25},
    }  # fmt: skip
    history = lives(knowledge(module([{"id": "a", "birth": flat(1.0), "treatments": [drug]}])), folk(N, age=20.0))
    course = history.courses[0]
    assert len(course.person) / N == pytest.approx(0.5, abs=0.012)
    stopped = course.stopped >= 0
    assert stopped.mean() == pytest.approx(1 - np.exp(-1.0), abs=0.02)
    assert (course.stopped[stopped] == 0).mean() == pytest.approx(0.75, abs=0.02)
    on = np.zeros(N, bool)
    on[course.person[np.isnan(course.stop)]] = True
    level = history.levels.at("sbp", np.arange(N), np.full(N, REFERENCE - 1))
    never = np.ones(N, bool)
    never[course.person] = False
    assert level[never].mean() - level[on].mean() == pytest.approx(20, abs=0.8)


def test_a_drug_is_never_given_with_what_rules_it_out() -> None:
    drug = {
        "id": "pill", "rxnorm": "1", "dose": 1.0, "dose_unit": "mg", "route": "oral", "per_day": 1.0, "share": 1.0,
        "avoid": ["bar"],
    }  # fmt: skip
    parts = [{"id": "bar", "incidence": flat(0.05)}, {"id": "a", "incidence": flat(0.05), "treatments": [drug]}]
    history = lives(knowledge(module(parts)), folk(N))
    start = np.full(N, np.inf)
    start[history.spells["bar"].person] = history.spells["bar"].onset
    course = history.courses[0]
    end = np.where(np.isnan(course.stop), REFERENCE, course.stop)
    assert len(course.person) and (end <= start[course.person] + 1 / 1000).all()


def test_episodes_come_at_their_rate_with_gaps_and_seasons() -> None:
    months = [4, 1, 1, 1, 0, 0, 0, 0, 0, 1, 2, 2]
    episode = {
        "id": "e", "incidence": flat(0.5), "days": 7.0, "gap_days": 20.0, "months": months,
        "care": {"shares": {"ambulatory": [0.6], "none": [0.4]}},
    }  # fmt: skip
    history = lives(knowledge(module([], [episode])), folk(4_000, age=40.0))
    found = history.attacks["e"]
    assert 18 < len(found.person) / 4_000 <= 20  # some fall to the gap
    again = np.diff(found.onset)[found.ordinal[1:] > 0]
    assert again.min() >= 20 - 1e-6
    assert (found.ordinal == ordinals(found.person)).all()
    day = np.datetime64("1970-01-01") + found.onset.astype(np.int64)
    month = day.astype("datetime64[M]").astype(int) % 12
    share = np.bincount(month, minlength=12) / len(month)
    assert share[0] == pytest.approx(4 / 12, abs=0.03) and share[4:9].sum() < 0.01
    assert np.isnan(found.seen).mean() == pytest.approx(0.4, abs=0.02)


def test_a_share_of_stays_returns_within_30_days_and_all_stays_keep_their_rate() -> None:
    plain = {
        "id": "e", "incidence": flat(0.2), "days": 4.0, "stay_days": 4.0, "care": {"shares": {"inpatient": [1.0]}},
    }  # fmt: skip
    told = []
    for share in (0.0, 0.25):
        episode = {**plain, "returns": {"share": share, "source": "assumed_test"}} if share else plain
        found = lives(knowledge(module([], [episode])), folk(4_000, age=40.0)).attacks["e"]
        same = found.person[1:] == found.person[:-1]
        days = found.onset[1:] - found.stop[:-1]
        told.append((len(found.person), float(np.mean(same & (days <= 30)))))
        assert (days[same] > 0).all() and (found.ordinal == ordinals(found.person)).all()
    assert told[0][1] < 0.03  # the same comes again by chance alone
    assert 0.17 < told[1][1] < 0.22  # a quarter of first stays and none of the returns: a fifth of all
    assert told[1][0] / told[0][0] == pytest.approx(1, abs=0.02)


def test_an_episode_of_a_calendar_year_does_not_come_before_it() -> None:
    episode = {"id": "e", "incidence": flat(0.5), "days": 7.0, "first_year": 2020,
               "care": {"shares": {"ambulatory": [1.0]}}}  # fmt: skip
    found = lives(knowledge(module([], [episode])), folk(2_000, age=40.0)).attacks["e"]
    day = np.datetime64("1970-01-01") + found.onset.astype(np.int64)
    assert len(day) and day.min() >= np.datetime64("2019-01-01")  # the year of age that holds 1 January


def test_deaths_follow_the_life_table_and_what_conditions_add() -> None:
    deadly = {"id": "a", "birth": flat(0.5), "mortality": {"per_year": 0.1, "cause": "C80.1"}}
    history = lives(knowledge(module([deadly]), death=0.02), folk(N, age=8.0))
    ill = np.zeros(N, bool)
    ill[history.spells["a"].person] = True
    dead = np.isfinite(history.people.death)
    assert dead[~ill].mean() == pytest.approx(1 - np.exp(-0.16), abs=0.012)
    assert dead[ill].mean() == pytest.approx(1 - np.exp(-0.96), abs=0.015)
    cause = np.array(["", *history.causes])[history.people.cause + 1]
    assert set(cause[dead & ~ill]) == {"R99"}
    assert (cause[dead & ill] == "C80.1").mean() == pytest.approx(0.1 / 0.12, abs=0.03)


def test_nobody_dies_before_the_window_and_nothing_follows_death() -> None:
    deadly = {"id": "a", "incidence": flat(0.1), "mortality": {"per_year": 0.5, "cause": "C80.1"}}
    episode = {"id": "e", "incidence": flat(1.0), "days": 7.0, "care": {"shares": {"ambulatory": [1.0]}}}
    history = lives(knowledge(module([deadly], [episode]), death=0.05), folk(N, age=30.0))
    people = history.people
    dead = np.isfinite(people.death)
    assert dead.any() and (people.death[dead] >= people.start[dead]).all()
    found = history.attacks["e"]
    assert (found.onset < people.end[found.person]).all() and (found.stop <= people.end[found.person]).all()
    spell = history.spells["a"]
    assert (spell.onset < people.end[spell.person]).all()


def test_deadly_conditions_before_the_window_are_as_rare_as_their_survivors() -> None:
    deadly = {"id": "a", "incidence": flat(0.02), "mortality": {"per_year": 0.5, "cause": "C80.1"}}
    history = lives(knowledge(module([deadly])), folk(N, age=40.0, window=1e-6))
    found = history.spells["a"]
    left = (REFERENCE - found.onset) / YEAR
    # survivors' time since onset is exponential with the excess rate
    assert left.mean() == pytest.approx(2.0, abs=0.35)
    assert len(found.person) / N == pytest.approx(0.02 / 0.5, abs=0.008)


def test_pins_are_kept_exactly_and_keep_the_distribution() -> None:
    stages = [
        {"id": "one", "title": "one", "at_onset": 1.0},
        {"id": "two", "title": "two", "at_onset": 0.0, "per_year": 0.05},
        {"id": "three", "title": "three", "at_onset": 0.0, "per_year": 0.3},
    ]
    one = module([{"id": "a", "incidence": flat(0.001), "stages": stages}, {"id": "b", "incidence": flat(0.05)}])
    n = 5_000
    pins = {"a": pin(n, before=50.0, since=30.0, stage=1), "b": pin(n, never=True)}
    history = lives(knowledge(one), folk(n), pins=pins)
    found = history.spells["a"]
    assert len(found.person) == n and len(history.spells["b"].person) == 0
    age = age_of(history, found)
    assert age.min() >= 30 and age.max() < 50
    assert age.mean() == pytest.approx(40, abs=0.5)  # a small constant rate is even over the range
    at = history.people.birth + 50 * YEAR
    assert (found.stage_from[:, 1] <= at).all() and (found.stage_from[:, 2] > at).all()


def test_a_pinned_rare_condition_weighs_lives_by_its_risks() -> None:
    parts = [
        {"id": "cause", "birth": flat(0.2)},
        {"id": "a", "incidence": flat(0.00001), "risk": [{"factor": "cause", "ratio": 10.0}]},
    ]
    from ehrsatz.simulator.engine import live

    n = 4_000
    people = folk(n)
    grown = live(knowledge(module(parts)), 7, people, REFERENCE, {}, pins={"a": pin(n, before=50.0)})
    cause = np.zeros(n, bool)
    cause[grown.spells["cause"].rows] = True
    assert np.exp(grown.weight[cause].mean() - grown.weight[~cause].mean()) == pytest.approx(10, rel=0.02)


@pytest.mark.parametrize("first", [0, 500, 1_900])
def test_a_person_is_the_same_in_any_shard(first: int) -> None:
    drug = {"id": "pill", "rxnorm": "1", "dose": 1.0, "dose_unit": "mg", "route": "oral", "per_day": 1.0, "share": 0.5}
    parts = [
        {"id": "a", "incidence": flat(0.02), "treatments": [drug], "mortality": {"per_year": 0.05, "cause": "C80.1"}},
        {"id": "b", "incidence": flat(0.02), "risk": [{"factor": "a", "ratio": 3.0}]},
    ]
    episode = {"id": "e", "incidence": flat(0.3), "days": 7.0, "risk": [{"factor": "b", "ratio": 2.0}],
               "care": {"shares": {"ambulatory": [1.0]}}, "fatality": flat(0.01)}  # fmt: skip
    known = knowledge(module(parts, [episode]), death=0.01)
    whole = folk(2_000, age=None)
    rows = np.arange(first, first + 100)
    few = whole.take(rows)
    all_of_them, alone = lives(known, whole), lives(known, few)
    assert np.array_equal(all_of_them.people.death[rows], alone.people.death, equal_nan=True)
    for part in ("a", "b"):
        mine = np.isin(all_of_them.spells[part].person, rows)
        for name in ("onset", "diagnosed", "stop"):
            left, right = getattr(all_of_them.spells[part], name)[mine], getattr(alone.spells[part], name)
            assert np.array_equal(left, right, equal_nan=True)
    mine = np.isin(all_of_them.attacks["e"].person, rows)
    for one in dataclasses.fields(alone.attacks["e"]):
        if one.name not in ("episode", "person"):
            left, right = getattr(all_of_them.attacks["e"], one.name)[mine], getattr(alone.attacks["e"], one.name)
            assert np.array_equal(left, right, equal_nan=left.dtype.kind == "f"), one.name


def test_an_episode_passes_and_leaves_the_level_as_it_was() -> None:
    episode = {
        "id": "e", "incidence": flat(0.2), "days": 7.0, "care": {"shares": {"ambulatory": [1.0]}},
        "course": [{"process": "crp", "shift": 50.0, "spread": 0.0, "peak_days": 1.0, "half_life_days": 2.0}],
    }  # fmt: skip
    one = module([], [{**episode, "course": [{**episode["course"][0], "source": "assumed_test"}]}])
    history = lives(knowledge(one), folk(500, age=40.0))
    found = history.attacks["e"]
    first = found.ordinal == 0
    person, onset = found.person[first], found.onset[first]
    base = history.levels.at("crp", person, onset - 30)
    assert history.levels.at("crp", person, onset + 1) - base == pytest.approx(50, abs=1)
    assert history.levels.at("crp", person, onset + 3) - base == pytest.approx(25, abs=1)
    gap = np.r_[np.diff(found.onset), np.inf][first]
    calm = (gap > 60) | (gap < 0)
    assert history.levels.at("crp", person[calm], onset[calm] + 15) == pytest.approx(base[calm], abs=1)


def test_the_incidence_that_sustains_a_prevalence_yields_it() -> None:
    curve = np.zeros((2, AGES))
    curve[:] = np.clip((np.arange(AGES) - 30) / 100, 0, 0.4)
    rate = sustaining(curve, deadly=0.0, remission=0.0)
    reached = 1 - np.exp(-np.cumsum(rate, axis=1))
    assert reached[0, 60] == pytest.approx(curve[0, 61], abs=0.01)


def test_a_smooth_curve_keeps_the_means_of_bands() -> None:
    one = module([{"id": "a", "prevalence": {"ages": [18, 45, 65, 75], "female": [0.02, 0.1, 0.2, 0.22],
                                             "male": [0.03, 0.12, 0.25, 0.3]}}])  # fmt: skip
    table = one.conditions[0].prevalence
    assert table is not None
    curve = smooth(table, (18.0, 120.0))
    assert curve[0, :18].sum() == 0
    assert curve[0, 45:65].mean() == pytest.approx(0.1, rel=0.05)
    assert curve[1, 65:75].mean() == pytest.approx(0.25, rel=0.05)
