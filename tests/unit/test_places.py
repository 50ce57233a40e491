import os
import shutil
import stat

import pytest
from fakes import FakeAdapter
from stored import NUM, manifest_of

from bench import features, places
from bench.contracts import BenchError
from bench.failures import InfrastructureError
from bench.leases import Leases


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.delenv("BENCH_SITE", raising=False)
    return places.bench_home()


@pytest.fixture
def shared(home, tmp_path):
    (tmp_path / "group").mkdir()
    (home / "site.toml").write_text(f'[places]\nfeatures = "{tmp_path}/group"\n')
    return tmp_path / "group"


def test_a_home_has_its_own_features_unless_the_site_file_says_where(home, tmp_path):
    assert places.features(home) == home / "features" and not places.is_shared(home)
    (home / "site.toml").write_text('device = "cpu"')
    assert places.features(home) == home / "features"
    (home / "site.toml").write_text(f'[places]\nfeatures = "{home}/features"')
    assert places.features(home) == home / "features" and not places.is_shared(home)


def test_features_may_lie_in_a_folder_that_others_use(home, shared, tmp_path):
    assert places.features(home) == shared and places.is_shared(home)
    again = home / "reproduce-1"
    assert places.features(again) == again / "features", "what is done again does not read what it checks"
    shared.rmdir()
    with pytest.raises(
        InfrastructureError, match=rf"site\.toml names {shared} for features.*mkdir -p {shared} && chmod g\+rwxs"
    ):
        places.features(home)


def test_one_site_file_gives_each_person_a_home(tmp_path, monkeypatch):
    monkeypatch.setenv("WHO", "me")
    monkeypatch.setenv("BENCH_SITE", str(tmp_path / "site.toml"))
    (tmp_path / "site.toml").write_text(f'[places]\nhome = "{tmp_path}/$WHO/kpbench"\n')
    assert places.bench_home() != tmp_path / "me" / "kpbench", "$BENCH_HOME wins"
    monkeypatch.delenv("BENCH_HOME")
    assert places.bench_home(writes=False) == tmp_path / "me" / "kpbench" and not (tmp_path / "me").exists()
    assert places.bench_home().is_dir()
    (tmp_path / "me" / "file").touch()
    monkeypatch.setenv("WHO", "me/file")
    with pytest.raises(BenchError, match=r"the home in .*site\.toml is .*/me/file/kpbench, which cannot be written to"):
        places.bench_home()


def test_what_a_group_shares_stays_open_to_the_group(root, shared):
    shared.chmod(0o2775)
    adapter = FakeAdapter()
    folder = features.store_folder(shared, adapter, NUM, "segment_centre", "pyav", "float32")
    before = os.umask(0o077)
    try:
        features.FeatureStore(folder).fill(manifest_of(root), range(6), adapter, NUM)
    finally:
        os.umask(before)
    (shard,), (cost,) = folder.glob("*.safetensors"), folder.glob("*.cost.json")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o2775 and stat.S_IMODE(shard.stat().st_mode) == 0o664
    assert stat.S_IMODE(cost.stat().st_mode) == 0o664
    assert [p.name for p in shared.iterdir()] == [folder.name]


def test_a_store_is_never_there_without_being_open_to_the_group(root, shared, monkeypatch):
    """Whoever is killed between making it and opening it would lock the others out for good."""
    shared.chmod(0o2775)
    folder = features.store_folder(shared, FakeAdapter(), NUM, "segment_centre", "pyav", "float32")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(features.shutil, "copymode", killed)
        with pytest.raises(KeyboardInterrupt):
            features.FeatureStore(folder).fill(manifest_of(root), range(6), FakeAdapter(), NUM)
    assert not folder.exists()
    features.FeatureStore(folder).fill(manifest_of(root), range(6), FakeAdapter(), NUM)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o2775


def test_what_a_colleague_stored_meanwhile_is_left_as_it_is(root, shared):
    """A shard may be mapped into a colleague's memory, on another machine too."""
    folder = features.store_folder(shared, FakeAdapter(), NUM, "segment_centre", "pyav", "float32")
    mine, theirs = features.FeatureStore(folder), features.FeatureStore(folder)
    plain, adapter = FakeAdapter.encode_video, FakeAdapter()

    def meanwhile(video):
        theirs.fill(manifest_of(root), range(6), FakeAdapter(), NUM)
        stored.update({p.name: p.stat().st_ino for p in folder.iterdir()})
        return plain(adapter, video)

    stored = {}
    adapter.encode_video = meanwhile
    assert mine.fill(manifest_of(root), range(6), adapter, NUM).encoded == 6
    assert len(stored) == 2 and {p.name: p.stat().st_ino for p in folder.iterdir()} == stored


def test_extraction_is_claimed_beside_the_features_where_all_who_share_them_see_it(home, shared, tmp_path, monkeypatch):
    assert places.claims(home, "runs") == home / "leases", "runs are a home's own"
    assert places.claims(home, "features") == shared / "leases"
    colleague = tmp_path / "colleague"
    colleague.mkdir()
    shutil.copy(home / "site.toml", colleague)
    with Leases(places.claims(home, "features")) as mine:
        assert mine.take("block")
        with monkeypatch.context() as patch:
            patch.setenv("BENCH_HOME", str(colleague))
            with Leases(places.claims(colleague, "features")) as theirs:
                assert theirs.take("block") is None and theirs.take("other")
    (home / "site.toml").unlink()
    assert places.claims(home, "features") == places.claims(home, "runs") == home / "leases"


def test_the_claims_are_open_to_whom_the_features_are_open_to_and_lie_elsewhere_where_these_are_closed(
    home, shared, monkeypatch
):
    shared.chmod(0o3775)
    before = os.umask(0o077)
    try:
        with Leases(places.claims(home, "features")):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((shared / "leases").stat().st_mode) == 0o2775, "others may take away what has lapsed"
    for closed in (shared / "leases", shared):
        monkeypatch.setattr(places.os, "access", lambda path, mode, closed=closed: path != closed)
        assert places.claims(home, "features") == home / "leases"
        shutil.rmtree(shared / "leases", ignore_errors=True)
    assert not (shared / "leases").exists()


def test_a_folder_that_is_not_ours_to_write_to_is_said_before_work_begins(tmp_path, monkeypatch):
    monkeypatch.setattr(features.os, "access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(BenchError, match=rf"{tmp_path} cannot be written to.*chmod g\+w.*features in \[places\]"):
        features.check_room(tmp_path / "store", 1.0)
    features.check_room(tmp_path / "store", 0.0)  # all is there: reading is enough


def test_a_home_in_a_site_file_that_nobody_named_is_not_passed_over_in_silence(tmp_path, monkeypatch):
    monkeypatch.delenv("BENCH_HOME")
    monkeypatch.delenv("BENCH_SITE", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "site.toml").write_text('partition = "x"')
    assert places.bench_home() == tmp_path / "out"
    (tmp_path / "out" / "site.toml").write_text(f'[places]\nhome = "{tmp_path}/elsewhere"')
    with pytest.raises(
        BenchError, match=rf"out/site\.toml names .*elsewhere as home.*export BENCH_SITE={tmp_path}/out/site"
    ):
        places.bench_home()
    (tmp_path / "out" / "site.toml").write_text(f'[places]\nhome = "{tmp_path}/out"')
    assert places.bench_home() == tmp_path / "out"
