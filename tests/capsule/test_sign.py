"""Signing and approving: by whom the policy names, once each, on what lies there; everything else is found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from capsule.people import DAY, House, edit, release, tree
from ehrsatz.capsule import approval, keys, manifest, signature, strict
from ehrsatz.capsule.sign import approve, sign
from ehrsatz.capsule.verify import examine, verify
from ehrsatz.dataset import Dataset
from ehrsatz.errors import CapsuleError


@pytest.fixture
def signed(tidy: Dataset, people: House, tmp_path: Path) -> Path:
    """A release that anna has signed and nobody approved."""
    folder = release(tidy, tmp_path / "release", formats=("csv",), rule=people.rule())
    sign(folder, people.anna)
    return folder


@pytest.fixture
def approved(signed: Path, people: House) -> Path:
    """A release that anna has signed and both have approved."""
    approve(signed, people.anna, day=DAY)
    approve(signed, people.bo, day=DAY, remark="Read the report.")
    return signed


def resign(folder: Path, people: House) -> None:
    """Rewrite the manifest's own hash and sign it as eve, as someone would who may change every file."""

    def refresh(told: dict[str, Any]) -> None:
        told["files"] = {name: manifest.file_hash(folder / name) for name in told["files"]}
        told["sizes"] = {name: (folder / name).stat().st_size for name in told["files"]}
        told["sha256"] = manifest.own_hash(told)

    edit(folder / "manifest.json", refresh)
    shutil.rmtree(folder / "approvals", ignore_errors=True)
    digest = manifest.file_hash(folder / "manifest.json")
    (folder / "signature.json").write_bytes(strict.render(signature.build(people.eve, digest, None)))


# ---------------------------------------------------------------------- the good way
def test_signed_and_approved_by_two(approved: Path, people: House) -> None:
    found = examine(approved, keys=[people.anna.public], at=DAY, require_approval=True)
    assert found.problems == ()
    assert found.signature is not None and found.signature.pinned
    assert found.approval is not None and found.approval.approved
    assert [one.remark for one in found.approval.by] == ["", "Read the report."]
    assert "Approved by anna (steward) on 2025-06-01 and bo (privacy officer)" in found.approval.told
    json.dumps(found.to_dict())


def test_the_state_in_words_on_the_way(tidy: Dataset, people: House, tmp_path: Path) -> None:
    folder = release(tidy, tmp_path / "release", formats=("csv",), rule=people.rule())
    words = []

    def look() -> None:
        found = examine(folder)
        assert found.problems == ()
        words.append(" ".join(found.told))

    look()
    approve(folder, people.bo, day=DAY)
    look()
    approve(folder, people.anna, day=DAY)
    look()
    sign(folder, people.anna)
    look()
    assert "Not signed" in words[0] and "0 of 2 persons" in words[0]
    assert "1 of 2 persons" in words[1] and "role steward" in words[1]
    assert "Not approved: nobody has signed it." in words[2]
    assert "Approved by" in words[3] and "not checked against a key of yours" in words[3]


def test_the_same_release_and_key_give_the_same_bytes(tidy: Dataset, people: House, tmp_path: Path) -> None:
    for name in ("one", "two"):
        folder = release(tidy, tmp_path / name, rule=people.rule())
        sign(folder, people.anna)
        approve(folder, people.bo, day=DAY)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_signing_twice_or_what_was_changed_is_refused(signed: Path, people: House) -> None:
    with pytest.raises(CapsuleError, match="anna"):
        sign(signed, people.eve)
    (signed / "signature.json").unlink()
    (signed / "README.txt").write_text("other")
    before = tree(signed)
    for attempt in (lambda: sign(signed, people.anna), lambda: approve(signed, people.bo, day=DAY)):
        with pytest.raises(CapsuleError) as caught:
            attempt()
        assert caught.value.problems == ("README.txt: changed since the release was written",)
    assert tree(signed) == before


# ---------------------------------------------------------------------- who may approve
def test_who_may_not_approve(signed: Path, people: House, tidy: Dataset, tmp_path: Path) -> None:
    with pytest.raises(CapsuleError, match="not listed"):
        approve(signed, people.eve, day=DAY)
    with pytest.raises(CapsuleError, match="last day"):
        approve(signed, people.bo, day=date(2026, 1, 1))
    approve(signed, people.bo, day=date(2025, 12, 31))
    with pytest.raises(CapsuleError, match="once"):
        approve(signed, people.bo, day=DAY)
    with pytest.raises(CapsuleError, match="at most"):
        approve(signed, people.anna, day=DAY, remark="x" * 2001)
    open_to_none = release(tidy, tmp_path / "open", formats=("csv",))
    with pytest.raises(CapsuleError, match="asks for no approval"):
        approve(open_to_none, people.anna, day=DAY)


def test_another_name_or_role_than_the_policy_s(tidy: Dataset, people: House, tmp_path: Path) -> None:
    rule = people.rule()
    rule["keys"][1]["role"] = "clinician"
    rule["roles"] = ["steward"]
    folder = release(tidy, tmp_path / "release", formats=("csv",), rule=rule)
    with pytest.raises(CapsuleError, match="another name or role"):
        approve(folder, people.bo, day=DAY)


def test_held_can_be_approved_and_denied_cannot(tidy: Dataset, people: House, tmp_path: Path) -> None:
    held = release(tidy, tmp_path / "held", value=0.9, severity="hold", formats=("csv",), rule=people.rule())
    sign(held, people.anna)
    approve(held, people.anna, day=DAY)
    assert approve(held, people.bo, day=DAY).approved
    denied = release(tidy, tmp_path / "denied", value=0.9, formats=("csv",), rule=people.rule())
    sign(denied, people.anna)
    with pytest.raises(CapsuleError, match="denied"):
        approve(denied, people.bo, day=DAY)
    statement = approval.build(people.bo, str(examine(denied).manifest_sha256), "deny", DAY, "")
    (denied / "approvals").mkdir()
    (denied / "approvals" / "bo.json").write_bytes(strict.render(statement))
    found = examine(denied)
    assert found.problems == ("approvals/bo.json: a denied release cannot be approved",)
    assert found.approval is not None and found.approval.approved is False


def test_whoever_signs_is_never_the_only_approver(tidy: Dataset, people: House, tmp_path: Path) -> None:
    folder = release(tidy, tmp_path / "release", formats=("csv",), rule=people.rule(at_least=1))
    sign(folder, people.anna)
    state = approve(folder, people.anna, day=DAY)
    assert state.approved is False and "cannot be its only approver" in state.told
    (folder / "signature.json").unlink()
    unsigned = examine(folder).approval
    assert unsigned is not None and unsigned.approved is False and "nobody has signed" in unsigned.told
    sign(folder, people.eve)
    by_other = examine(folder).approval
    assert by_other is not None and by_other.approved


def test_without_keys_nobody_can_approve(tidy: Dataset, people: House, tmp_path: Path) -> None:
    folder = release(tidy, tmp_path / "release", formats=("csv",), rule={"at_least": 1, "roles": ["steward"]})
    sign(folder, people.anna)
    found = examine(folder, require_approval=True)
    assert "names nobody" in found.problems[0]


class TestState:
    """The rule alone, without files."""

    def state(self, people: House, found: list[approval.Approval], **rule: Any) -> approval.State:
        told = approval.Rule.of({"approval": people.rule(**rule)})
        return approval.state("pass", told, found, people.eve.public, sound=True)

    def test_one_person_counts_once(self, people: House) -> None:
        anna = approval.Approval(people.anna.public, DAY)
        again = approval.Approval(keys.PublicKey("Anna", "privacy officer", people.bo.public.public_key), DAY)
        other = approval.Approval(keys.PublicKey("carl", "privacy officer", people.anna.public.public_key), DAY)
        assert not self.state(people, [anna, anna]).approved
        assert not self.state(people, [anna, again]).approved
        assert not self.state(people, [anna, other]).approved
        assert self.state(people, [anna, approval.Approval(people.bo.public, DAY)]).approved

    def test_every_role_must_be_there(self, people: House) -> None:
        bo = approval.Approval(people.bo.public, DAY)
        told = self.state(people, [bo], at_least=1, roles=["steward"])
        assert not told.approved and "no approval by the role steward" in told.told

    def test_problems_elsewhere_undo_it(self, people: House) -> None:
        rule = approval.Rule.of({"approval": people.rule(at_least=1)})
        both = [approval.Approval(one.public, DAY) for one in (people.anna, people.bo)]
        assert approval.state("pass", rule, both, people.eve.public, sound=True).approved
        assert not approval.state("pass", rule, both, people.eve.public, sound=False).approved
        assert not approval.state("deny", rule, both, people.eve.public, sound=True).approved

    @pytest.mark.parametrize(
        "wrong",
        [
            [],
            {"at_least": 0},
            {"at_least": True},
            {"at_least": "2"},
            {"roles": "steward"},
            {"keys": {}},
            {"keys": ["x"]},
            {"keys": [{"name": "a", "role": "b", "public_key": "AAAA"}]},
            {"keys": [{"role": "b"}]},
        ],
    )
    def test_rules_that_are_none(self, wrong: object) -> None:
        with pytest.raises(ValueError):
            approval.Rule.of({"approval": wrong})

    def test_one_key_for_two_persons_is_no_rule(self, people: House) -> None:
        rule = people.rule()
        rule["keys"][1]["public_key"] = rule["keys"][0]["public_key"]
        with pytest.raises(ValueError):
            approval.Rule.of({"approval": rule})


# ---------------------------------------------------------------------- forgeries
def test_a_key_of_the_checker_s_own_decides(signed: Path, people: House, tidy: Dataset, tmp_path: Path) -> None:
    assert verify(signed) == []
    assert verify(signed, keys=[people.bo.public, people.anna.public]) == []
    assert "none of the keys you gave" in verify(signed, keys=[people.bo.public])[0]
    found = examine(signed, keys=[people.bo.public])
    assert found.signature is None
    unsigned = release(tidy, tmp_path / "unsigned", formats=("csv",))
    assert verify(unsigned, keys=[people.anna.public]) == [
        "signature.json: absent, so no key of yours stands for this release"
    ]
    promoted = keys.PublicKey("anna", "director", people.anna.public.public_key)
    assert "another name or role" in verify(signed, keys=[promoted])[0]


def test_everything_rewritten_and_signed_by_another(approved: Path, people: House) -> None:
    path = approved / "data" / "patients.csv"
    path.write_text(path.read_text().replace("F", "M"))
    resign(approved, people)
    told = verify(approved, keys=[people.anna.public])
    eve = people.eve.public.fingerprint
    assert told == [f"signature.json: signed with the key {eve}, which is none of the keys you gave"]
    assert examine(approved).approval.approved is False  # type: ignore[union-attr]


def test_the_signature_of_another_release(signed: Path, people: House, tidy: Dataset, tmp_path: Path) -> None:
    other = release(tidy, tmp_path / "other", value=0.2, formats=("csv",), rule=people.rule())
    sign(other, people.anna)
    approve(other, people.bo, day=DAY)
    shutil.copy(other / "signature.json", signed / "signature.json")
    shutil.copytree(other / "approvals", signed / "approvals")
    assert verify(signed) == [
        "signature.json: signs another manifest than the one that lies here",
        "approvals/bo.json: approves another manifest than the one that lies here",
    ]


def swap_key(told: dict[str, Any], people: House) -> None:
    told["key"] = people.eve.public.who()


FORGERIES: dict[str, Callable[[dict[str, Any], House], Any]] = {
    "another public key": swap_key,
    "another name": lambda told, people: told["key"].update(name="carl"),
    "another role": lambda told, people: told["key"].update(role="director"),
    "another date": lambda told, people: told.update(date="2025-06-02"),
    "no date": lambda told, people: told.update(date=3),
    "another hash": lambda told, people: told.update(manifest_sha256="0" * 64),
    "another kind": lambda told, people: told.update(kind="ehrsatz withdrawal"),
    "another algorithm": lambda told, people: told.update(algorithm="none"),
    "a newer format": lambda told, people: told.update(format=2),
    "more": lambda told, people: told.update(more=1),
    "less": lambda told, people: told.pop("algorithm"),
    "no signature": lambda told, people: told.update(signature=""),
    "a broken signature": lambda told, people: told.update(signature="?"),
    "a key that is none": lambda told, people: told["key"].update(public_key="AAAA"),
    "a weak key": lambda told, people: told["key"].update(public_key="AQ" + "A" * 41 + "="),
    "a key that is text": lambda told, people: told.update(key="anna"),
}


@pytest.mark.parametrize("name", ["signature.json", "approvals/bo.json"])
@pytest.mark.parametrize("forgery", FORGERIES)
def test_edited_signatures_and_approvals(forgery: str, name: str, approved: Path, people: House) -> None:
    edit(approved / name, lambda told: FORGERIES[forgery](told, people))
    found = examine(approved)
    assert len(found.problems) == 1 and found.problems[0].startswith(f"{name}: ")
    assert found.approval is not None and not found.approval.approved


@pytest.mark.parametrize("name", ["signature.json", "approvals/bo.json", "manifest.json"])
def test_another_spelling_of_the_same_is_found(name: str, approved: Path) -> None:
    path = approved / name
    before = path.read_bytes()
    told = json.loads(before)
    for raw in (
        json.dumps(told).encode(),
        json.dumps(dict(reversed(told.items())), indent=2).encode() + b"\n",
        before + b" ",
        before.replace(b'"format": 1', b'"format": 1, "format": 1'),
        before.replace(b'"format": 1', b'"format": 1.0'),
        b"\xef\xbb\xbf" + before,
        before.decode().encode("utf-16"),
        b"x" * 20_000_000,
    ):
        path.write_bytes(raw)
        assert any(problem.startswith(name) for problem in verify(approved))
    path.write_bytes(before)
    assert verify(approved) == []


def test_a_signature_re_used_as_an_approval(signed: Path, people: House) -> None:
    (signed / "approvals").mkdir()
    shutil.copy(signed / "signature.json", signed / "approvals" / "anna.json")
    assert verify(signed) == ["approvals/anna.json: is no approval of a release"]


def test_an_approval_under_another_name_or_twice(approved: Path) -> None:
    shutil.copy(approved / "approvals" / "bo.json", approved / "approvals" / "carl.json")
    assert verify(approved) == ["approvals/carl.json: bears another name than its signer"]
    (approved / "approvals" / "carl.json").rename(approved / "approvals" / "Bo.json")
    assert any("Bo.json" in problem for problem in verify(approved))


def test_an_approval_by_a_key_that_has_lapsed(signed: Path, people: House) -> None:
    digest = str(examine(signed).manifest_sha256)
    (signed / "approvals").mkdir()
    statement = approval.build(people.bo, digest, "pass", date(2026, 1, 1), "")
    (signed / "approvals" / "bo.json").write_bytes(strict.render(statement))
    assert verify(signed) == ["approvals/bo.json: was given after the last day of its key"]


def test_an_approval_by_somebody_else(signed: Path, people: House) -> None:
    digest = str(examine(signed).manifest_sha256)
    (signed / "approvals").mkdir()
    (signed / "approvals" / "eve.json").write_bytes(strict.render(approval.build(people.eve, digest, "pass", DAY, "")))
    assert "not listed in the policy" in verify(signed)[0]


def test_an_approval_of_another_verdict(signed: Path, people: House) -> None:
    digest = str(examine(signed).manifest_sha256)
    (signed / "approvals").mkdir()
    (signed / "approvals" / "bo.json").write_bytes(strict.render(approval.build(people.bo, digest, "hold", DAY, "")))
    assert verify(signed) == ["approvals/bo.json: was given on another decision of the gate"]


def test_dates_that_have_not_come_and_keys_that_lapse(tidy: Dataset, people: House, tmp_path: Path) -> None:
    folder = release(tidy, tmp_path / "release", formats=("csv",), rule=people.rule())
    sign(folder, people.bo, day=DAY)
    approve(folder, people.anna, day=DAY)
    late = date(2026, 3, 1)
    assert verify(folder, keys=[people.bo.public], at=late) == []
    assert all("has not come yet" in one for one in verify(folder, at=date(2025, 1, 1)))
    (folder / "signature.json").unlink()
    sign(folder, people.bo)
    assert verify(folder, at=DAY) == []
    assert verify(folder, keys=[people.bo.public], at=late) == [
        "signature.json: the last day of its key has passed, and the signature carries no date"
    ]
    with pytest.raises(CapsuleError, match="last day"):
        sign(release(tidy, tmp_path / "more", formats=("csv",)), people.bo, day=late)
    statement = signature.build(people.bo, str(examine(folder).manifest_sha256), late)
    (folder / "signature.json").write_bytes(strict.render(statement))
    assert "after the last day" in verify(folder, keys=[people.bo.public])[0]


def test_approval_that_is_asked_for(signed: Path, people: House, tidy: Dataset, tmp_path: Path) -> None:
    assert verify(signed) == []
    assert verify(signed, require_approval=True) == [
        "not approved as asked for: Not approved: 0 of 2 persons have approved; no approval by the roles steward, "
        "privacy officer."
    ]
    free = release(tidy, tmp_path / "free", formats=("csv",))
    assert "asks for no approval" in verify(free, require_approval=True)[0]


def test_a_release_that_is_to_be_judged_anew(tidy: Dataset, people: House, tmp_path: Path) -> None:
    folder = release(
        tidy, tmp_path / "r", formats=("csv",), rule=people.rule(), output={"date": "2025-01-01"}, valid_days=30
    )
    sign(folder, people.anna)
    approve(folder, people.anna, day=DAY)
    approve(folder, people.bo, day=DAY)
    assert "to be judged anew after 2025-01-31" in examine(folder, at=date(2025, 1, 2)).notes[0]
    assert verify(folder, at=DAY) == []
    assert verify(folder, at=DAY, require_approval=True) == ["By its policy it was to be judged anew after 2025-01-31."]


def test_a_policy_with_other_approvers(approved: Path, people: House) -> None:
    """Whoever writes an own key into the policy and recomputes every hash still lacks the signature."""

    def put(told: dict[str, Any]) -> None:
        told["policy"]["approval"] = {"at_least": 1, "roles": [], "keys": [people.bo.public.who()]}

    edit(approved / "verdict.json", put)
    resign(approved, people)
    assert verify(approved) == ["verdict.json: its policy is another than that of the manifest"]
    policy = json.loads((approved / "verdict.json").read_text())["policy"]
    edit(approved / "manifest.json", lambda told: told.update(policy_fingerprint=manifest.fingerprint(policy)))
    resign(approved, people)
    approve(approved, people.bo, day=DAY)
    found = examine(approved, require_approval=True)
    assert found.problems == (), "consistent in itself, so that only a key of one's own can tell"
    assert "not checked against a key of yours" in " ".join(found.told)
    assert verify(approved, keys=[people.anna.public]) != []


def test_a_verdict_that_says_otherwise_than_the_manifest(signed: Path, people: House) -> None:
    edit(signed / "manifest.json", lambda told: told.update(decision="hold"))
    resign(signed, people)
    assert verify(signed) == ["verdict.json: its decision is another than that of the manifest"]
    edit(signed / "manifest.json", lambda told: told.update(decision="pass", synthetic=False))
    resign(signed, people)
    assert verify(signed) == ["manifest.json: does not say that the rows are synthetic"]
