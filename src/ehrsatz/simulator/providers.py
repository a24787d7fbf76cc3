"""Who cares for whom: a fixed world of organisations, places, practitioners and payers, and each person's own in it.

The world is made of the country alone: how many practices and hospitals a region has grows with its people, never with
the cohort. A person has a practice near home, a practice for urgent care and a hospital in the region, sees the same
specialist for the same specialty, and whoever is on duty in an emergency.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.clinical import CLASSES
from ehrsatz.simulator import keys
from ehrsatz.simulator.history import History, Ints, ordinals
from ehrsatz.simulator.records import Records

PRIMARY = ("family medicine", "internal medicine", "pediatrics")  # what a practice has
EMERGENCY = "emergency medicine"
STAFF = {"family medicine": 3, "internal medicine": 1, "pediatrics": 1}  # practitioners of a practice; assumed
SPECIALISTS = 2  # of each specialty in a hospital; assumed: a person sees the same one
PRACTICES, HOSPITALS = 10.0, 45.0  # root of thousands of people per practice and hospital; assumed, for a small world
LOCATIONS = ("clinic", "emergency", "ward", "icu", "home")
ROOMS = {"practice": ("clinic", "home"), "hospital": ("clinic", "emergency", "ward", "icu", "home")}
ROOM_NAMES = {
    "clinic": "Clinic",
    "emergency": "Emergency department",
    "ward": "Ward",
    "icu": "Intensive care unit",
    "home": "Home visits",
}
ROOM_OF = {  # class of encounter -> kind of location
    "wellness": "clinic",
    "ambulatory": "clinic",
    "urgent": "clinic",
    "emergency": "emergency",
    "inpatient": "ward",
    "icu": "icu",
    "virtual": "clinic",
    "home": "home",
}

Columns = Mapping[str, pl.Series]


class Register(Protocol):
    """Names, addresses and numbers that belong to nobody, by number in the world."""

    def organizations(self, number: Ints, kind: Sequence[str], region: Ints) -> Columns:
        """Return name, identifier, address_line, city, region, postal_code and phone of organisations (R,)."""

    def practitioners(self, number: Ints, region: Ints) -> Columns:
        """Return given_name, family_name and identifier of practitioners (R,)."""


@dataclass(frozen=True)
class World:
    """Organisations, locations, practitioners and payers, and where to find them.

    Regions G, organisations O, specialties S; rows are positions in the tables.
    """

    tables: Mapping[str, pl.DataFrame]
    specialties: Mapping[str, int]
    practice_first: Ints  # (G,)
    practices: Ints  # (G,)
    hospital_first: Ints  # (G,)
    hospitals: Ints  # (G,)
    staff_first: Ints  # (O, S)
    staff: Ints  # (O, S) how many; 0: none
    rooms: Ints  # (O, len(LOCATIONS)) location; -1: none

    def ids(self, table: str) -> pl.Series:
        """Return the keys of a table of the world."""
        return self.tables[table][f"{table}_id"]


@dataclass(frozen=True)
class Seen:
    """Rows of the world for encounters (E,)."""

    practitioner: Ints
    organization: Ints
    location: Ints


def world(
    thousands: Sequence[float], specialties: Sequence[str], payers: Sequence[tuple[str, str]], register: Register
) -> World:
    """Return the world of a country.

    Parameters
    ----------
    thousands
        People of each region, in thousands.
    specialties
        That encounters may name; those of a practice and emergency medicine are always there.
    payers
        Name and kind of insurance, in the order of the locale.
    register
        Gives names, addresses and numbers.
    """
    people = np.sqrt(np.asarray(thousands, float))
    names = tuple(dict.fromkeys((*PRIMARY, EMERGENCY, *sorted(specialties))))
    practices = np.maximum(2, np.rint(people / PRACTICES)).astype(np.int64)
    hospitals = np.maximum(1, np.rint(people / HOSPITALS)).astype(np.int64)
    regions = np.arange(len(people))
    counts = np.stack([practices, hospitals, np.ones_like(practices), np.full_like(practices, 2)], axis=1)  # (G, 4)
    kinds = ("practice", "hospital", "laboratory", "pharmacy")
    kind = np.repeat(np.tile(np.arange(4), len(people)), counts.ravel())
    region = np.repeat(regions, counts.sum(axis=1))
    first = np.cumsum(counts.ravel()).reshape(counts.shape) - counts
    n = len(kind)
    staff = np.zeros((n, len(names)), np.int64)
    for s, name in enumerate(names):
        staff[kind == 0, s] = STAFF.get(name, 0)
        staff[kind == 1, s] = SPECIALISTS
    staff_first = np.cumsum(staff.ravel()).reshape(staff.shape) - staff
    of, specialty = (np.repeat(axis.ravel(), staff.ravel()) for axis in np.indices(staff.shape))
    organization = keys.numbered("H", np.arange(n) + 1)
    practitioner = keys.numbered("D", np.arange(len(of)) + 1)
    rooms, where, room = _rooms(kind)
    text = {
        **register.organizations(np.arange(n), [kinds[k] for k in kind], region),
        "organization_id": organization,
        "kind": pl.Series(kinds).gather(kind),
    }
    doctors = {
        **register.practitioners(np.arange(len(of)), region[of]),
        "practitioner_id": practitioner,
        "organization_id": organization.gather(of),
        "specialty": pl.Series(names).gather(specialty),
    }
    places = {
        "location_id": keys.numbered("L", np.arange(len(where)) + 1),
        "organization_id": organization.gather(where),
        "name": text["name"].gather(where) + ", " + pl.Series([ROOM_NAMES[LOCATIONS[k]] for k in room]),
        "kind": pl.Series([LOCATIONS[k] for k in room]),
    }
    payer = {
        "payer_id": keys.numbered("Q", np.arange(len(payers)) + 1, 3),
        "name": pl.Series([name for name, _ in payers], dtype=pl.String),
        "kind": pl.Series([kind_ for _, kind_ in payers], dtype=pl.String),
    }
    tables = {"organization": text, "location": places, "practitioner": doctors, "payer": payer}
    return World(
        {name: pl.DataFrame(dict(columns)) for name, columns in tables.items()},
        {name: s for s, name in enumerate(names)},
        first[:, 0],
        practices,
        first[:, 1],
        hospitals,
        staff_first,
        staff,
        rooms,
    )


def _rooms(kind: Ints) -> tuple[Ints, Ints, Ints]:
    """Return locations by organisation and kind (O, 5), and of each location its organisation and kind."""
    has = np.zeros((len(kind), len(LOCATIONS)), bool)
    for k, name in enumerate(("practice", "hospital")):
        has[np.ix_(kind == k, [LOCATIONS.index(room) for room in ROOMS[name]])] = True
    where, room = np.nonzero(has)
    rooms = np.full(has.shape, -1, np.int64)
    rooms[where, room] = np.arange(len(where))
    return rooms, where, room


def see(world: World, records: Records, history: History, specialty: Ints) -> Seen:
    """Return who saw whom where in each encounter of a shard.

    Parameters
    ----------
    world
        Of the country.
    records
        With their encounters.
    history
        Lives, for draws and for the region where a person lives.
    specialty
        (book,) position in the world's specialties of each text of the book, -1: none. An encounter without a
        specialty is family medicine's.

    Raises
    ------
    AssertionError
        When an encounter names a specialty that the world was not made with.
    """
    met, people = records.encounters, history.people
    everyone = np.arange(people.n)
    region = people.attributes["region"]
    u = history.draw("home", everyone, width=4)
    home = world.practice_first[region] + _pick(u[:, 0], world.practices[region])
    urgent = world.practice_first[region] + _pick(u[:, 1], world.practices[region])
    hospital = world.hospital_first[region] + _pick(u[:, 2], world.hospitals[region])
    class_, who = met.kind, met.person
    wanted = np.where(met.specialty < 0, 0, specialty[met.specialty])
    assert (wanted >= 0).all(), "an encounter names a specialty that the world was not made with"
    code = {name: CLASSES.index(name) for name in CLASSES}
    inside = np.isin(class_, [code["emergency"], code["inpatient"], code["icu"]]) | (wanted >= len(PRIMARY))
    inside &= class_ != code["urgent"]
    organization = np.where(inside, hospital[who], np.where(class_ == code["urgent"], urgent[who], home[who]))
    wanted = np.where(class_ == code["emergency"], world.specialties[EMERGENCY], wanted)
    wanted = np.where(~inside & (wanted >= len(PRIMARY)), 0, wanted)  # whoever works in urgent care
    on_duty = (class_ == code["emergency"]) | (class_ == code["urgent"])
    own = history.draw("specialist", who, wanted)[:, 0] if len(who) else np.zeros(0)
    duty = history.draw("duty", who, ordinals(who))[:, 0] if len(who) else np.zeros(0)
    chosen = _pick(np.where(on_duty, duty, own), world.staff[organization, wanted])
    room = np.array([LOCATIONS.index(ROOM_OF[name]) for name in CLASSES])[class_]
    return Seen(world.staff_first[organization, wanted] + chosen, organization, world.rooms[organization, room])


def _pick(u: NDArray[np.float64], n: Ints) -> Ints:
    return np.minimum((u * n).astype(np.int64), n - 1)
