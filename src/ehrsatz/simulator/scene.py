"""What all shards of a run share, put together from a country, the modules and the book: see `frames.Scene`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial

import polars as pl

from ehrsatz import terminology
from ehrsatz.simulator import identity, providers
from ehrsatz.simulator.catalogue import Catalogue, catalogue
from ehrsatz.simulator.frames import Scene
from ehrsatz.simulator.history import History
from ehrsatz.simulator.load import Modules
from ehrsatz.simulator.locale import Locale
from ehrsatz.simulator.records import Book
from ehrsatz.simulator.reported import Reported


def scene_of(
    locale: Locale,
    modules: Modules,
    book: Book,
    *,
    seed: int,
    items: Catalogue | None = None,
    specialties: Collection[str] = (),
    codes: terminology.Codes | None = None,
    cpt: Mapping[tuple[str, str], str] | None = None,
) -> Scene:
    """Return what all shards of a run share.

    Parameters
    ----------
    locale
        The country: regions, payers, names, units.
    modules
        Their specialties are those of the world's practitioners.
    book
        Texts and codes that records point to.
    seed
        Of the cohort.
    items
        Catalogue of observations; the bundled one where None.
    specialties
        That care names besides those of modules.
    codes
        Displays, with a user's own; the shipped ones where None.
    cpt
        A licensed user's map for claims, as `terminology.cpt.read_map` gives it.
    """
    named = {one.specialty for one in modules.order} | set(specialties)
    world = providers.world(
        [region.thousands for region in locale.people.regions],
        sorted(named),
        [(payer.name, payer.kind) for payer in locale.payers],
        identity.Register(seed, locale),
    )
    return Scene(
        book=book,
        display=(codes or terminology.codes()).display,
        items=Reported(items or catalogue(), locale.units.items),
        world=world,
        payers=[(payer.kind, payer.share) for payer in locale.payers],
        national=locale.insurance_model == "national",
        texts=partial(_texts, seed, locale),
        country=locale.country,
        regions=locale.regions,
        cpt=cpt or {},
    )


def _texts(seed: int, locale: Locale, history: History) -> Mapping[str, pl.Series]:
    return identity.texts(seed, locale, history.people)
