"""Every data set that is at hand makes a valid manifest, says what it is, and has a bank for every class."""

import pytest

from bench import knowledge, plugins, protocols
from bench.contracts import BenchError, DataRequest

NEEDS_ROOT = {
    "utkinect": "skeletons",
    "florence3d": "skeletons",
    "skeleton": "skeletons/utkinect.npz",
    "folder": "surv_fight",
    "surv_fight": "surv_fight",
}


def request_for(name, request, tmp_path_factory):
    facts = plugins.find("datasets", name).DATASET
    if not facts.needs_root:
        return DataRequest(root=None, workspace=request.getfixturevalue("toy_workspace"))
    root = request.getfixturevalue("shared_data") / NEEDS_ROOT[name]
    return DataRequest(root=root, workspace=tmp_path_factory.mktemp(name))


@pytest.mark.parametrize("name", plugins.names("datasets"))
def test_manifests_are_whole(name, request, tmp_path_factory):
    module = plugins.find("datasets", name)
    facts = module.DATASET
    assert facts.name == name and facts.summary and facts.licence
    assert all("{}" in template for template in facts.templates)
    asked = request_for(name, request, tmp_path_factory)
    manifest = module.manifest(asked)
    assert len(manifest.rows) >= 2 * len(manifest.class_names)
    assert module.manifest(asked).digest == manifest.digest
    split = manifest.splits[0] if manifest.splits else "1"
    for shots in facts.shots:
        views = protocols.views(manifest, "few_shot", split, 1, shots)
        assert len(views.train) == shots * len(manifest.class_names)
        assert views.test
    if facts.bank:
        for texts in knowledge.statements(facts.bank, manifest.class_names):
            assert len(texts) >= 3


@pytest.mark.parametrize("name", ["utkinect", "florence3d"])
def test_the_skeleton_sets_hold_no_more_than_four_shots(name, request, tmp_path_factory):
    manifest = plugins.find("datasets", name).manifest(request_for(name, request, tmp_path_factory))
    with pytest.raises(BenchError, match="the most shots"):
        protocols.views(manifest, "few_shot", "1", 1, 8)


@pytest.mark.parametrize("bank", knowledge.bank_names())
def test_statements_never_name_their_own_class(bank):
    for name, rows in knowledge.load(bank).classes.items():
        words = name.lower().replace("_", " ")
        assert not [s.text for s in rows if f" {words} " in f" {s.text.lower()} "]
