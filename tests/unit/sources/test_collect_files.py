"""Statements from the files of the field and from WordNet."""

from pathlib import Path

import pytest
from language_model import CLASSES

from bench.contracts import BenchError
from bench.knowledge import bank as banks
from bench.knowledge.sources import files, wordnet

# --- files -----------------------------------------------------------------------------------------------------


FILES = {
    "cupl.json": (
        '{"Jump Up": ["Both feet leave the floor.", 7, ""], "wave hands": ["An open hand goes to and fro."]}',
        2,
    ),
    "twice.json": ('{"jump up": ["Both knees are bent."], "jump up": "Both feet leave the floor."}', 2),
    "menon.json": ('{"jump_up": ["bent knees", "air below the feet and floor"], "nobody": ["nothing"]}', 2),
    "ez.csv": ('SNo,Class Name,GPT3 discription\n1,jump up,"\n\nThe knees bend. Then both feet leave. The cut"\n', 2),
    "motion.csv": ('\ufeffjump up," doing a leap, with both feet."\nWave Hands,moving an open hand\n', 2),
    "action.csv": (' jump up: refers to a leap.\n"  sit down: to lower, bend, and rest."\n', 2),
    "lines.txt": ("jump up: A leap: both feet leave.\n\nsit down: The hips go down.\n", 2),
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_each_layout(name, tmp_path):
    text, num = FILES[name]
    (tmp_path / name).write_text(text, encoding="utf-8")
    gathered = files.gather(CLASSES, [str(tmp_path / name)], "2026-11-25")
    rows = [(c, s) for c, found in gathered.statements.items() for s in found]
    assert len(rows) == num and rows[0][0] == "jump up" and all(s.text == s.text.strip() for _, s in rows)
    assert (
        {s.kind for _, s in rows} == {"keyword", "appearance"}
        if name == "menon.json"
        else {s.kind for _, s in rows} == {"motion" if name == "motion.csv" else "appearance"}
    )
    assert gathered.unmatched == (["menon.json: nobody"] if name == "menon.json" else [])
    refused = {"cupl.json": {"no text": 1, "empty": 1}, "ez.csv": {"unfinished sentence": 1}}
    assert gathered.refused == refused.get(name, {})
    assert not any(str(tmp_path) in o.by for o in gathered.origins.values())


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.json", b"{", "no readable json"),
        ("a.json", b"[1]", "{class: [texts]}"),
        ("a.json", b'{"a": {"b": "c"}}', "{class: [texts]}"),
        ("a.json", b"{}", "no statement"),
        ("a.json", b'{"0": ["x"]}', "--labels"),
        ("a.json", b"[" * 100_000, "no readable json"),
        ("a.csv", b"a,b,c,d\n", "4 columns"),
        ("a.csv", b"a,b\nc\n", "1, 2 columns"),
        ("a.csv", b'a,"b\n', "no readable csv"),
        ("a.txt", b"jump up a leap", "no colon"),
        ("a.txt", b"jump: \xff", "not UTF-8"),
        ("a.xml", b"<a/>", "end in .json, .csv, .txt"),
    ],
)
def test_files_that_are_none(name, content, told, tmp_path, collect, knowledge):
    (tmp_path / name).write_bytes(content)
    code, _, err = collect("--file", tmp_path / name)
    assert code == 2 and told in err and str(tmp_path / name) in err and not (knowledge / "three.json").exists()


def test_a_file_that_is_far_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LARGEST", 5)
    (tmp_path / "a.txt").write_text("jump up: leap")
    with pytest.raises(BenchError, match="a.txt has more than"):
        files.gather(CLASSES, [str(tmp_path / "a.txt")], "")


def test_classes_that_are_numbers(tmp_path):
    (tmp_path / "temporal.json").write_text('{"0": ["Bend both knees first."], "1": ["Lift one open hand."]}')
    given = [str(tmp_path / "temporal.json")]
    for text in ("jump up\nwave_hands\n", "id,name\n0,jump up\n1,Wave Hands\n", "1 jump up\n2 wave hands\n"):
        (tmp_path / "labels").write_text(text)
        gathered = files.gather(CLASSES, given, "", labels=str(tmp_path / "labels"))
        assert [s.text for s in gathered.statements["WaveHands"]] == ["Lift one open hand."]
        assert gathered.statements["jump up"][0].kind == "motion"
    for text, told in (("jump up\n", "names 1 classes"), ("1 jump up\n3 wave hands\n", "in order"), ("", "in order")):
        (tmp_path / "labels").write_text(text)
        with pytest.raises(BenchError, match=told):
            files.gather(CLASSES, given, "", labels=str(tmp_path / "labels"))


def test_the_labels_of_another_list_are_refused(tmp_path):
    """Every number would be some class's, and no statement its own."""
    (tmp_path / "spatio.json").write_text('{"0": ["Bent knees in the air."], "1": ["An open hand up high."]}')
    (tmp_path / "labels").write_text("sit down\njump up\nwave hands\n")
    with pytest.raises(BenchError, match="has 2 classes, and --labels names 3"):
        files.gather(CLASSES, [str(tmp_path / "spatio.json")], "", labels=str(tmp_path / "labels"))


def test_a_kind_that_is_given_is_that_of_short_texts_too(tmp_path):
    (tmp_path / "a.json").write_text('{"jump up": ["bent knees", "air below the feet and floor"]}')
    kinds = [
        [s.kind for s in files.gather(CLASSES, [str(tmp_path / "a.json")], "", kind).statements["jump up"]]
        for kind in (None, "object")
    ]
    assert kinds == [["keyword", "appearance"], ["object", "object"]]


def test_numbers_of_a_part_of_kinetics_are_not_taken_for_the_whole(shared_data):
    path = shared_data / "descriptions" / "ost" / "k600" / "temporal_descriptors" / "4_descriptors.json"
    labels = shared_data / "splits" / "vifi_clip" / "labels" / "kinetics_600_labels.csv"
    if not path.is_file():
        pytest.skip(f"no {path}")
    with pytest.raises(BenchError, match="has 217 classes, and --labels names 600"):
        files.gather(("abseiling",), [str(path)], "", labels=str(labels))


REAL = {
    "hmdb51": {
        "ost/hmdb/temporal_descriptors/4_descriptors.json": 200,
        "ost/hmdb/spatio_descriptors/4_descriptors.json": 190,
        "ez_clip/HMDB_gpt_Class_discription_new.csv": 100,
        "motiondescriptions/hmdb_descriptions.csv": 51,
        "motiondescriptions/hmdb51_motion_with_objectname.csv": 51,
        "motiondescriptions/HMDB51_without_objectname.csv": 51,
    },
    "ucf101": {
        "ost/ucf/temporal_descriptors/8_descriptors.json": 780,
        "ost/ucf/spatio_descriptors/2_descriptors.json": 190,
        "ez_clip/UCF_101_gpt_Class_discription_new.csv": 200,
        "motiondescriptions/ucf_descriptions.csv": 101,
        "motiondescriptions/uc101_motion.csv": 101,
        "motiondescriptions/ucf_motion_alternate_version.csv": 101,
    },
}


@pytest.mark.parametrize(("bank", "name"), [(bank, name) for bank, names in REAL.items() for name in names])
def test_the_real_files_of_the_field(bank, name, shared_data):
    path = shared_data / "descriptions" / name
    if not path.is_file():
        pytest.skip(f"no {path}")
    classes = tuple(banks.load(bank).classes)
    labels = shared_data / "splits" / "vifi_clip" / "labels" / {"hmdb51": "hmdb_51", "ucf101": "ucf_101"}[bank]
    gathered = files.gather(classes, [str(path)], "", labels=f"{labels}_labels.csv" if name.startswith("ost") else None)
    assert not gathered.nothing(classes) and not gathered.unmatched
    assert sum(map(len, gathered.statements.values())) >= REAL[bank][name]
    first = {"hmdb51": "hair", "ucf101": ("eye", "mascara", "makeup")}[bank]
    told = " ".join(s.text.lower() for s in gathered.statements[classes[0]])
    assert any(word in told for word in ([first] if isinstance(first, str) else first))


def test_kinetics_in_one_column(shared_data):
    path = shared_data / "descriptions" / "motiondescriptions" / "Kinetics400_action_descrptions.csv"
    if not path.is_file():
        pytest.skip(f"no {path}")
    gathered = files.gather(("arm wrestling", "applauding", "golf"), [str(path)], "")
    assert gathered.nothing(("arm wrestling", "applauding", "golf")) == ("golf",) and len(gathered.unmatched) == 398
    assert gathered.statements["arm wrestling"][0].text.startswith("refers to a sport")


# --- WordNet ---------------------------------------------------------------------------------------------------


def handmade(folder: Path) -> Path:
    """A WordNet of three synsets, with the files that Debian ships and no more."""
    folder.mkdir()
    lines = {
        "verb": [
            '38 v 01 jump 0 000 01 + 02 00 | move forward by leaps and bounds; "he jumped"',
            "35 v 01 wave 0 000 01 + 02 00 | signal with the hands or nod",
        ],
        "noun": ["08 n 01 hand 0 000 | the end of the arm", "06 n 01 hands 0 000 | custody"],
        "adj": [],
        "adv": [],
    }
    for pos, rows in lines.items():
        data, index, head = "", "", "  1 This is WordNet 3.0 Copyright of nobody\n"
        for row in rows:
            offset = len(head) + len(data)
            data += f"{offset:08d} {row}  \n"
            index += f"{row.split()[3]} {row.split()[1]} 1 0 1 0 {offset:08d}  \n"
        (folder / f"data.{pos}").write_text(head + data)
        (folder / f"index.{pos}").write_text(head + index)
        (folder / f"{pos}.exc").write_text("")
    return folder


def test_wordnet_without_a_download(tmp_path, collect, knowledge):
    folder = handmade(tmp_path / "wn")
    code, out, err = collect("--wordnet", folder)
    assert code == 1 and "1 of 3 classes got no statement: sit_down" in err
    bank = banks.load(str(knowledge / "three.json"))
    assert [(s.text, s.kind) for s in bank.classes["jump up"]] == [("move forward by leaps and bounds", "motion")]
    assert [(s.text, s.kind) for s in bank.classes["WaveHands"]] == [
        ("signal with the hands or nod", "motion"),
        ("hands: the end of the arm", "body part"),
    ]
    assert bank.origins["WordNet"].by.startswith("WordNet 3.0 glosses")
    two_verbs = wordnet.gather(("jump and wave",), str(folder), 1, "").statements["jump and wave"]
    assert [s.text for s in two_verbs] == ["move forward by leaps and bounds"]


def test_a_wordnet_that_is_none(tmp_path, collect):
    code, _, err = collect("--wordnet", tmp_path / "nowhere")
    assert code == 2 and "no data.adj" in err and "never downloaded" in err
    folder = handmade(tmp_path / "wn")
    (folder / "index.verb").write_text("jump v x\n")
    code, _, err = collect("--wordnet", folder)
    assert code == 2 and "cannot be read as WordNet" in err


@pytest.mark.skipif(not wordnet.DEBIAN.is_dir(), reason="needs Debian's package wordnet-base")
def test_debians_wordnet():
    classes = ("walk", "wave hands", "cartwheel")
    gathered = wordnet.gather(classes, "debian", 1, "")
    assert not gathered.nothing(classes)
    assert ("body part", "hands: ") in [(s.kind, s.text[:7]) for s in gathered.statements["wave hands"]]
