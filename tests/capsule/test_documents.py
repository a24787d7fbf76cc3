"""What a release says of itself, checked by others' own checkers: Croissant, RO-Crate, W3C PROV; and the data card."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from capsule.people import contents, release
from ehrsatz.capsule import card, crate, lineage, manifest
from ehrsatz.capsule.contents import Contents
from ehrsatz.capsule.croissant import Ids
from ehrsatz.capsule.verify import verify
from ehrsatz.capsule.write import write
from ehrsatz.dataset import Dataset
from ehrsatz.errors import OutputError
from ehrsatz.evaluation.base import Score

SAID = {"date": "2025-03-01", "licence": "CC-BY-4.0", "publisher": "The clinic", "contact": "data@example.org"}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here may reach for the network."""

    def refuse(*_: object, **__: object) -> Any:
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(params=["tidy", "nasty", "tidy_linked", "nasty_linked"])
def data(request: pytest.FixtureRequest) -> Dataset:
    """Each of the small datasets in turn."""
    found: Dataset = request.getfixturevalue(request.param)
    return found


def read(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return told


# ---------------------------------------------------------------------- Croissant
@pytest.mark.parametrize("formats", [("csv", "parquet"), ("csv",), ("parquet",)], ids="+".join)
def test_croissant_by_its_own_checker(data: Dataset, formats: tuple[str, ...], tmp_path: Path) -> None:
    import mlcroissant

    folder = release(data, tmp_path / "release", formats=formats, output=SAID)
    described = mlcroissant.Dataset(jsonld=folder / "croissant.json")
    assert not described.metadata.ctx.issues.errors
    ids = Ids()
    for table in data.schema.tables:
        rows = list(described.records(ids.of(table.name)))
        assert len(rows) == data.tables[table.name].height
        for column in table.columns:
            cells = [row[ids.of(table.name, column.name)] for row in rows]
            if column.kind in {"integer", "number"} and data.tables[table.name][column.name].null_count() == 0:
                assert cells == pytest.approx(data.tables[table.name][column.name].to_list()), column.name


def test_croissant_says_what_it_is(tidy: Dataset, tmp_path: Path) -> None:
    told = read(release(tidy, tmp_path / "release", output=SAID) / "croissant.json")
    assert told["conformsTo"] == ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
    assert (told["license"], told["datePublished"]) == ("CC-BY-4.0", "2025-03-01")
    assert told["creator"]["name"] == "The clinic"
    assert "isLiveDataset" not in told
    files = {one["@id"]: one["sha256"] for one in told["distribution"]}
    listed = read(tmp_path / "release" / "manifest.json")["files"]
    assert files == {name: one for name, one in listed.items() if name.startswith("data/")}
    assert "patients.patient_id" in " ".join(told["rai:personalSensitiveInformation"])
    types = {one["name"]: one["dataType"] for one in told["recordSet"][0]["field"]}
    assert (types["age"], types["bmi"], types["admitted"]) == ("sc:Integer", "sc:Float", "sc:Date")


def test_croissant_reads_what_csv_spells_in_its_own_way_as_text(tidy: Dataset, tmp_path: Path) -> None:
    import mlcroissant

    table = tidy.schema.tables[0]
    own = {"admitted": {"format": "%d.%m.%Y"}, "smoker": {"format": "Y/N"}, "bmi": {"format": "0,0", "missing": ("?",)}}
    columns = tuple(replace(one, **own.get(one.name, {})) for one in table.columns)
    spelled = replace(tidy, schema=tidy.schema.replace_table(replace(table, columns=columns)))
    folder = release(spelled, tmp_path / "release", formats=("csv",))
    types = {one["name"]: one["dataType"] for one in read(folder / "croissant.json")["recordSet"][0]["field"]}
    assert {types[name] for name in own} == {"sc:Text"}
    assert types["age"] == "sc:Integer"
    rows = list(mlcroissant.Dataset(jsonld=folder / "croissant.json").records("patients"))
    assert {row["patients/smoker"] for row in rows} == {b"Y", b"N"}


def test_croissant_links_tables(tidy_linked: Dataset, tmp_path: Path) -> None:
    told = read(release(tidy_linked, tmp_path / "release") / "croissant.json")
    visits = next(one for one in told["recordSet"] if one["@id"] == "visits")
    link = next(one for one in visits["field"] if one["name"] == "patient_id")
    assert link["references"] == {"field": {"@id": "patients/patient_id"}}


def test_without_rows_there_are_no_records(tidy: Dataset, tmp_path: Path) -> None:
    import mlcroissant

    folder = release(tidy, tmp_path / "release", value=0.9)
    told = read(folder / "croissant.json")
    assert told["distribution"] == [] and told["recordSet"] == []
    assert not mlcroissant.Dataset(jsonld=folder / "croissant.json").metadata.ctx.issues.errors


# ---------------------------------------------------------------------- RO-Crate
TERMS = (  # of RO-Crate 1.1, all that our crates use; the profile's context maps each to schema.org
    "ContactPoint",
    "CreateAction",
    "CreativeWork",
    "Dataset",
    "Organization",
    "SoftwareApplication",
    "about",
    "contactPoint",
    "contactType",
    "contentSize",
    "datePublished",
    "description",
    "email",
    "encodingFormat",
    "hasPart",
    "instrument",
    "keywords",
    "license",
    "mentions",
    "name",
    "publisher",
    "result",
    "url",
    "version",
)
CONTEXT = {
    **{term: f"http://schema.org/{term}" for term in TERMS},
    "File": "http://schema.org/MediaObject",
    "conformsTo": "http://purl.org/dc/terms/conformsTo",
}


@pytest.fixture
def _context(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the validator the profile's context from here; it would fetch it."""
    from rdflib.plugins.shared.jsonld import context as shared
    from rdflib.plugins.shared.jsonld import util
    from rocrate_validator.utils import document_loader, http

    before = util.source_to_json

    def load(source: Any, *rest: Any, **options: Any) -> Any:
        if str(source) == f"{crate.PROFILE}/context":
            return {"@context": CONTEXT}, None
        return before(source, *rest, **options)

    class Answer:
        status_code = 200
        headers: dict[str, str] = {"Content-Type": "application/ld+json"}  # noqa: RUF012
        text = json.dumps({"@context": CONTEXT})

        def json(self) -> Any:
            return {"@context": CONTEXT}

    def get(self: Any, url: str, *rest: Any, **options: Any) -> Answer:
        assert url == f"{crate.PROFILE}/context", url
        return Answer()

    for module in (util, shared):
        monkeypatch.setattr(module, "source_to_json", load)
    monkeypatch.setattr(document_loader, "_patched_source_to_json", load, raising=False)
    for verb in ("get", "head", "fetch_fresh"):
        monkeypatch.setattr(http.HttpRequester, verb, get, raising=False)


def validated(folder: Path) -> list[str]:
    from rocrate_validator import models, services

    settings = services.ValidationSettings(
        rocrate_uri=models.URI(str(folder)) if hasattr(models, "URI") else str(folder),
        profile_identifier="ro-crate-1.1",
        requirement_severity=models.Severity.REQUIRED,
    )
    return [str(issue.message) for issue in services.validate(settings).get_issues()]


@pytest.mark.parametrize("output", [{}, SAID], ids=["bare", "said"])
@pytest.mark.usefixtures("_context")
def test_ro_crate_by_its_own_checker(output: dict[str, Any], tidy: Dataset, tmp_path: Path) -> None:
    folder = release(tidy, tmp_path / "release", output=output)
    assert validated(folder) == []


@pytest.mark.usefixtures("_context")
def test_the_checker_of_ro_crates_sees_what_is_absent(tidy: Dataset, tmp_path: Path) -> None:
    folder = release(tidy, tmp_path / "release")
    told = read(folder / crate.NAME)
    root = next(one for one in told["@graph"] if one["@id"] == "./")
    del root["datePublished"]
    (folder / crate.NAME).write_text(json.dumps(told))
    assert any("datePublished" in one for one in validated(folder))


def test_ro_crate_names_every_file_and_says_that_a_date_is_none(tidy: Dataset, tmp_path: Path) -> None:
    folder = release(tidy, tmp_path / "release")
    graph = {one["@id"]: one for one in read(folder / crate.NAME)["@graph"]}
    parts = {one["@id"] for one in graph["./"]["hasPart"]}
    assert parts == set(read(folder / "manifest.json")["files"]) - {crate.NAME} | {"manifest.json"}
    assert graph["./"]["datePublished"] == crate.NO_DATE
    assert "placeholder" in graph["./"]["description"]
    assert graph["#licence"]["name"] == "No licence was stated"
    hashes = read(folder / "manifest.json")["files"]
    assert all(graph[name]["sha256"] == hashes[name] for name in parts - {"manifest.json"})
    dated = release(tidy, tmp_path / "dated", output=SAID)
    graph = {one["@id"]: one for one in read(dated / crate.NAME)["@graph"]}
    assert graph["./"]["datePublished"] == "2025-03-01"
    assert "placeholder" not in graph["./"]["description"]
    assert graph["#contact"]["email"] == "data@example.org"
    assert graph["./"]["license"] == {"@id": "https://spdx.org/licenses/CC-BY-4.0"}


def test_ro_crate_escapes_names(nasty: Dataset, tmp_path: Path) -> None:
    graph = read(release(nasty, tmp_path / "release") / crate.NAME)["@graph"]
    assert {"data/b%C3%BCro.csv", "data/b%C3%BCro.parquet"} <= {one["@id"] for one in graph}


# ---------------------------------------------------------------------- PROV
def test_prov_round_trip(data: Dataset, tmp_path: Path) -> None:
    from prov.model import ProvActivity, ProvAgent, ProvDocument, ProvEntity

    path = release(data, tmp_path / "release", formats=("csv",)) / "prov.json"
    told = ProvDocument.deserialize(source=str(path), format="json")
    assert told == ProvDocument.deserialize(content=told.serialize(format="json"), format="json")
    count = {kind: len(list(told.get_records(kind))) for kind in (ProvEntity, ProvActivity, ProvAgent)}
    assert count == {ProvEntity: 9, ProvActivity: 5, ProvAgent: 1}
    text = told.get_provn()
    assert "wasGeneratedBy(run:synthetic, run:sample" in text
    assert "wasDerivedFrom(run:synthetic, run:model" in text
    assert data.schema.fingerprint in text


def test_runs_have_their_own_names(tidy: Dataset) -> None:
    one, two = contents(tidy), contents(tidy)
    other = replace(one, scenario={**one.scenario, "seed": 4})
    assert lineage.run_id(one) == lineage.run_id(two) != lineage.run_id(other)


# ---------------------------------------------------------------------- data card, README, manifest
def test_the_card_says_what_the_scores_say(tidy: Dataset, tmp_path: Path) -> None:
    scores = (
        Score("m", 0.123456, (0.05, 0.2), 0.1, meaning="An attacker finds | 12 %."),
        Score("n", None, status="not_applicable", meaning="Not measured: no target."),
    )
    folder = release(tidy, tmp_path / "release", scores=scores, output=SAID, valid_days=90)
    text = (folder / "datacard.md").read_text()
    for head in ("Summary", "Motivation", "Composition", "Making", "Gate", "Scores", "Uses", "Limits", "Distribution"):
        assert f"\n## {head}" in text
    assert "| `m` | A measure | 0.123 | 0.05 to 0.2 | 0.1 | An attacker finds \\| 12 %. |" in text
    assert "- `n`: Not measured: no target." in text
    assert "Purpose, by the policy `house`: Software tests." in text
    for said in (*SAID.values(), "80 learned from, 80 others", "not automatically anonymous", "after 90 days"):
        assert said in text, said
    bare = (release(tidy, tmp_path / "bare") / "datacard.md").read_text()
    assert bare.count("not stated") == 4


def test_the_card_of_what_was_held_or_denied(tidy: Dataset, tmp_path: Path) -> None:
    held = (release(tidy, tmp_path / "held", value=0.9, severity="hold") / "datacard.md").read_text()
    assert "**Held**" in held and "missed: hold" in held and "Reasons:" in held
    denied = (release(tidy, tmp_path / "denied", value=0.9) / "datacard.md").read_text()
    assert "**Denied**" in denied and "The rows are not in this release." in denied


def test_the_card_of_a_thousand_columns_is_bounded(tidy: Dataset) -> None:
    table = tidy.schema.tables[0]
    wide = replace(table, columns=tuple(replace(table["age"], name=f"c{i}") for i in range(1000)), constraints=())
    frame = pl.DataFrame({f"c{i}": [1] for i in range(1000)})
    held = contents(tidy)
    many = replace(
        held,
        synthetic=Dataset(held.synthetic.schema.replace_table(wide), {"patients": frame}, held.synthetic.provenance),
    )
    text = card.render(many, ["csv"])
    assert "and 800 more columns." in text and "| c199 |" in text and "| c200 |" not in text


def test_no_path_or_name_of_the_source_is_told(tidy: Dataset, tmp_path: Path) -> None:
    folder = release(tidy, tmp_path / "release")
    for path in folder.rglob("*"):
        if path.is_file():
            assert str(tmp_path).encode() not in path.read_bytes(), path.name


def test_the_readme_names_every_file(tidy: Dataset, tmp_path: Path) -> None:
    folder = release(tidy, tmp_path / "release")
    text = (folder / "README.txt").read_text()
    names = {path.relative_to(folder).parts[0] for path in folder.rglob("*")} - {"README.txt"}
    assert all(f"- {name}" in text for name in names)
    assert max(map(len, text.splitlines())) <= 120


def test_the_manifest_says_what_was_tried_and_by_which_policy(tidy: Dataset, tmp_path: Path) -> None:
    from ehrsatz import __version__
    from ehrsatz.gate import Policy

    held = contents(tidy)
    told = read(write(tmp_path / "release", held, formats=("csv",)) / "manifest.json")
    assert told["synthetic"] is True
    assert told["policy"]["purpose"] == "Software tests"
    assert told["attacks"] == {"version": __version__, "measures": {"m": "measured"}}
    assert told["documents"] == ["dossiers/gdpr.html", "report.html"]
    assert told["sizes"].keys() == told["files"].keys()
    assert told["policy_fingerprint"] == Policy.from_dict(held.verdict.policy).fingerprint
    assert manifest.own_hash(told) == told["sha256"]


@pytest.mark.parametrize(
    "name",
    [
        "manifest.json",
        "signature.json",
        "scores.json",
        "data/x.csv",
        "approvals/a.json",
        "../a",
        "/a",
        "README.TXT",
        "a\nb",
    ],
)
def test_documents_that_may_not_be_named_so(name: str, tidy: Dataset, tmp_path: Path) -> None:
    held: Contents = replace(contents(tidy), documents={name: "x"})
    with pytest.raises(OutputError, match="plain names"):
        write(tmp_path / "release", held, formats=("csv",))
    assert list(tmp_path.iterdir()) == []


def test_documents_come_in_as_they_are(tidy: Dataset, tmp_path: Path) -> None:
    folder = release(tidy, tmp_path / "release", formats=("csv",))
    assert (folder / "dossiers" / "gdpr.html").read_text(encoding="utf-8") == "<html>Ü</html>"
    assert verify(folder) == []
