"""What has proved itself survives power cuts, damage and full disks; what was done twice is done once."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from k1edge.system import generations
from k1edge.system.generations import KEPT, Generation, Generations, Refusal, digest, machine_boot
from k1edge.whole import write_whole
from tests.failing import full

FILE = Path("/etc/k1edge/k1edge.toml")
FIRST = Generation(b'site = "hall"\n', folder="/etc/k1edge")
REMOTE = Generation(b"[beat]\nlead_ms = 200\n", "remote", "/etc/k1edge", {"site": "hall", "mqtt": {"url": ""}}, FIRST.hash)
WHEN = "2026-11-22T12:00:00Z"


@pytest.fixture
def store(tmp_path):
    return Generations(tmp_path, FILE)


def numbers(store):
    return [each.number for each in store.kept()]


def test_what_is_promoted_comes_back_as_it_was(store):
    kept = store.promote(REMOTE, WHEN, reached=True)
    assert store.kept() == [kept]
    assert kept == replace(REMOTE, number=1, saved_at=WHEN, reached=True)
    assert kept.hash == digest(REMOTE.content)


def test_any_bytes_are_kept_as_they_came(store):
    odd = Generation(b'\xef\xbb\xbfsite = "hall"\r\n# k1edge \xff\n\n')
    store.promote(odd, WHEN, reached=False)
    assert store.kept()[0].content == odd.content


def test_the_newest_five_are_kept_and_numbers_go_on(store):
    for lead_ms in range(100, 108):
        store.promote(replace(FIRST, content=b"[beat]\nlead_ms = %d\n" % lead_ms), WHEN, reached=False)
    assert numbers(store) == [8, 7, 6, 5, 4]
    assert len(numbers(store)) == KEPT
    assert len(list(store.folder.iterdir())) == KEPT + 1


def test_a_damaged_generation_is_passed_over_and_its_number_not_given_again(store):
    for _ in range(2):
        store.promote(FIRST, WHEN, reached=False)
    newest = store.folder / "generation-000002.toml"
    content = bytearray(newest.read_bytes())
    content[-3] ^= 1
    newest.write_bytes(content)
    assert numbers(store) == [1]
    assert store.promote(FIRST, WHEN, reached=False).number == 3


@pytest.mark.parametrize("content", [b"", b"# k1edge\n", b"\xff" * 99, b"[" * 99_999, b"{}", b'{"starts": "x", "refused": 3}'])
def test_rubbish_in_the_store_is_as_if_it_were_not_there(store, content):
    store.folder.mkdir(parents=True)
    for name in ("candidate.toml", "record.json", "generation-000001.toml", "generation-x.toml"):
        (store.folder / name).write_bytes(content)
    assert (store.kept(), store.candidate(), store.record()) == ([], None, generations.Record())


def test_a_candidate_waits_until_it_is_promoted_or_refused(store):
    store.stage(REMOTE)
    assert store.candidate() == REMOTE
    store.promote(REMOTE, WHEN, reached=False)
    assert store.candidate() is None
    again = replace(REMOTE, content=b"")
    store.stage(again)
    store.refuse(Refusal(again.hash, "CONFIG_ROLLED_BACK", "no sound came"))
    assert store.candidate() is None
    assert store.record().refusal(again.hash).reason == "no sound came"


@pytest.mark.parametrize("tried", [FIRST, REMOTE], ids=["file", "remote"])
def test_what_is_staged_while_another_is_tried_outlives_its_proof(store, tried):
    store.stage(tried)
    back = Generation(b"site = 'old'\n", "rollback", "/etc/k1edge", over=FIRST.hash)
    store.stage(back)
    store.promote(tried, WHEN, reached=True)
    assert store.candidate() == back


def test_what_was_staged_over_an_earlier_file_ends_with_the_proof_of_a_later_one(store):
    store.stage(REMOTE)
    store.promote(replace(FIRST, content=b"site = 'later'\n"), WHEN, reached=True)
    assert not list(store.folder.glob("candidate*"))


def test_asking_for_a_refused_configuration_again_forgives_it(store):
    store.refuse(Refusal(REMOTE.hash, "CONFIG_ROLLED_BACK", "no sound came"))
    store.stage(REMOTE)
    assert store.record().refusal(REMOTE.hash) is None
    store.refuse(Refusal(REMOTE.hash, "CONFIG_ROLLED_BACK", "no sound came"))
    assert store.retry() == 1
    assert store.record().refused == ()


def test_only_the_latest_refusals_are_remembered_and_a_proof_ends_them(store):
    for number in range(9):
        store.refuse(Refusal(str(number), "CONFIG_ROLLED_BACK", "x"))
    assert [each.hash for each in store.record().refused] == list("45678")
    store.promote(FIRST, WHEN, reached=False)
    assert store.record().refused == ()


def test_starts_are_counted_within_one_boot_of_the_machine(store):
    store.began("", "boot-1")
    store.began("", "boot-1")
    assert store.record().starts == 2
    store.began("", "boot-2")
    assert store.record().starts == 1, "a power cut is no fault of the configuration"


def test_a_version_that_is_put_back_knows_every_key_that_was_noted(store):
    store.refuse(Refusal("abc", "CONFIG_ROLLED_BACK", "x"))
    store.began("", "boot")
    noted = json.loads((store.folder / "record.json").read_bytes())
    assert set(noted) == {"starts", "boot", "trial", "file", "refused"}
    assert [set(each) for each in noted["refused"]] == [{"hash", "code", "reason", "told"}]


def test_a_start_that_survives_or_ends_in_order_is_not_a_failed_one(store):
    store.began("", "boot")
    store.survived()
    assert store.record().starts == 0
    store.began("", "boot")
    store.began("", "boot")
    store.withdrew()
    assert store.record().starts == 1


def test_what_was_given_up_is_known_after_any_number_of_starts_that_are_forgotten(store):
    store.refuse(Refusal("abc", "CONFIG_ROLLED_BACK", "x"))
    for _ in range(10):
        store.began("", "boot")
    store.withdrew()
    assert store.record().starts == 9
    store.withdrew(anew=True)
    assert (store.record().starts, store.record().refusal("abc").reason) == (0, "x")


def test_what_was_given_up_is_told_until_a_daemon_has_survived(store):
    store.refuse(Refusal("abc", "CONFIG_ROLLED_BACK", "x"))
    assert not store.record().refused[0].told
    store.survived()
    assert store.record().refused[0].told


def test_a_start_that_goes_well_writes_twice_and_its_end_not_at_all(store, monkeypatch):
    written = []
    monkeypatch.setattr(generations, "write_whole", lambda path, content: (written.append(path), write_whole(path, content)))
    store.began("", "boot")
    store.survived()
    store.survived()
    store.withdrew()
    assert len(written) == 2


def test_two_files_have_a_store_each(tmp_path):
    Generations(tmp_path, FILE).promote(FIRST, WHEN, reached=False)
    assert Generations(tmp_path, Path("/etc/other.toml")).kept() == []


class PowerCutError(BaseException):
    """From here on nothing reaches the disk."""


OPERATIONS = ("open", "write", "fsync", "close", "replace", "rename", "unlink", "mkdir", "fchown")


class Power:
    """Counts the calls that change the disk; at the given one, and ever after, the power is gone."""

    def __init__(self, monkeypatch, cut_at, half_written=False):
        self.calls, self._cut_at, self._half = 0, cut_at, half_written
        for name in OPERATIONS:
            monkeypatch.setattr(os, name, self._metered(name, getattr(os, name)))

    def _metered(self, name, call):
        def metered(*args, **kwargs):
            self.calls += 1
            if self.calls == self._cut_at and name == "write" and self._half:
                call(args[0], args[1][: len(args[1]) // 2])
            if self.calls >= self._cut_at:
                raise PowerCutError
            return call(*args, **kwargs)
        return metered


STEPS = {
    "promote": lambda store: store.promote(REMOTE, WHEN, reached=True),
    "stage": lambda store: store.stage(replace(REMOTE, content=b"[beat]\nlead_ms = 250\n")),
    "refuse": lambda store: store.refuse(Refusal(REMOTE.hash, "CONFIG_ROLLED_BACK", "no sound came")),
    "began": lambda store: store.began(REMOTE.hash, "boot"),
    "survived": lambda store: store.survived(),
    "withdrew": lambda store: store.withdrew(),
}


@pytest.fixture(scope="module")
def full_store(tmp_path_factory):
    """The folder of five generations, a candidate, a refusal and a start under way."""
    folder = tmp_path_factory.mktemp("full")
    store = Generations(folder, FILE)
    for lead_ms in range(100, 105):
        store.promote(replace(FIRST, content=b"[beat]\nlead_ms = %d\n" % lead_ms), WHEN, reached=True)
    store.stage(REMOTE)
    store.refuse(Refusal("other", "CONFIG_ROLLED_BACK", "x"))
    store.began(REMOTE.hash, "boot")
    return folder


def copied(full_store, folder):
    shutil.copytree(full_store, folder)
    return Generations(folder, FILE)


def picture(store):
    return tuple(store.kept()), store.candidate(), store.record()


@pytest.mark.parametrize("half_written", [False, True], ids=["cut before", "half written"])
@pytest.mark.parametrize("step", STEPS)
def test_a_power_cut_at_any_call_leaves_the_state_before_or_after_each_write(
    tmp_path, full_store, monkeypatch, step, half_written
):
    def cut(at):
        store = copied(full_store, tmp_path / str(at))
        with monkeypatch.context() as patch:
            power = Power(patch, at, half_written)
            try:
                STEPS[step](store)
                finished = True
            except PowerCutError:
                finished = False
        return finished, picture(store), power.calls

    finished, after, calls = cut(10_000)
    before = picture(copied(full_store, tmp_path / "before"))
    assert finished
    assert calls >= 3
    for at in range(1, calls + 1):
        _, (kept, candidate, record), _ = cut(at)
        assert kept[0] in (before[0][0], after[0][0])
        assert all(each in kept for each in before[0][:4]), "no generation but the oldest may go"
        assert candidate in (before[1], after[1])
        assert record in (before[2], after[2]) or step == "stage"


@pytest.mark.parametrize("step", STEPS)
def test_every_step_can_be_repeated_after_a_cut(tmp_path, full_store, monkeypatch, step):
    whole = copied(full_store, tmp_path / "whole")
    STEPS[step](whole)
    for at in range(1, 40):
        store = copied(full_store, tmp_path / str(at))
        with monkeypatch.context() as patch:
            Power(patch, at)
            try:
                STEPS[step](store)
            except PowerCutError:
                pass
            else:
                return
        STEPS[step](store)
        assert store.candidate() == whole.candidate()
        assert store.kept()[0].content == whole.kept()[0].content
    pytest.fail("the step never ends")


def test_contents_reach_the_disk_before_the_name_and_the_name_before_the_return(tmp_path, monkeypatch):
    calls = []

    def noting(name, call):
        def noted(*args, **kwargs):
            calls.append(name)
            return call(*args, **kwargs)
        return noted

    for name in ("write", "fsync", "replace", "rename"):
        monkeypatch.setattr(os, name, noting(name, getattr(os, name)))
    write_whole(tmp_path / "a", b"x")
    assert [name.replace("rename", "replace") for name in calls] == ["write", "fsync", "replace", "fsync"]


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
def test_a_full_or_read_only_disk_is_said_and_leaves_no_litter(store, monkeypatch, call):
    store.promote(FIRST, WHEN, reached=True)
    before = sorted(store.folder.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(OSError, match="No space"):
            store.promote(REMOTE, WHEN, reached=True)
        with pytest.raises(OSError, match="No space"):
            store.began("", "boot")
    assert sorted(store.folder.iterdir()) == before
    assert [each.content for each in store.kept()] == [FIRST.content]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes for somebody else")
def test_what_root_writes_belongs_to_the_owner_of_the_folder(tmp_path):
    os.chown(tmp_path, 12_345, 12_346)
    write_whole(tmp_path / "a", b"x")
    assert ((tmp_path / "a").stat().st_uid, (tmp_path / "a").stat().st_gid) == (12_345, 12_346)


def test_the_machine_s_boot_is_named_where_the_kernel_tells(monkeypatch, tmp_path):
    assert machine_boot() == machine_boot() != ""
    monkeypatch.setattr(generations, "BOOT_ID", tmp_path / "missing")
    assert machine_boot() == ""
