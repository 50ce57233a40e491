"""Which files are tables of answers, and which are refused."""

import json

import pytest
from imported import IDS, judge

from bench import answers
from bench.contracts import BenchError


@pytest.mark.parametrize(
    ("suffix", "content", "said"),
    [
        (".csv", "", "line 1: its columns are ; a file has the column video_id"),
        (".csv", "video,rank_1\na,run\n", "line 1: its columns are 'video', 'rank_1'; a file has the column video_id"),
        (".csv", "video_id\na\n", "line 1: its columns are 'video_id'"),
        (".csv", "video_id,rank_1,rank_3\n", "line 1: .*they are rank_1, rank_2"),
        (".csv", "video_id,rank_1,run\n", "line 1: .*they are rank_1, rank_2"),
        (".csv", "video_id,run,run\n", "line 1: the column 'run' is there twice"),
        (".csv", "video_id,run,\n", "line 1: a column has no name"),
        (".csv", "video_id,rank_1\n", "there are no answers"),
        (".csv", "video_id,rank_1\na,run\nb\n", "line 3: it has 1 fields, the header has 2"),
        (".csv", "video_id,rank_1\n,run\n", "line 2: its video_id is ''"),
        (".csv", "video_id,rank_1,rank_2\na,,run\n", "line 2: '' is no class name"),
        (".csv", "video_id,run\na,0.5\nb,nan\n", "line 3: the score of 'run' is 'nan', which is no finite number"),
        (".csv", "video_id,run\na,inf\n", "line 2: the score of 'run' is 'inf'"),
        (".csv", "video_id,run\na,much\n", "line 2: the score of 'run' is 'much', .* are called rank_1, rank_2"),
        (".csv", "video_id;rank_1\na;run\n", "parted by commas, not by ';'"),
        (".csv", "video_id\trank_1\na\trun\n", r"parted by commas, not by '\\t'"),
        (".csv", 'video_id,rank_1\na,"run\n', "is no csv"),
        (".csv", "video_id,rank_1\na,ru\0n\n", "line 2: it holds a NUL"),
        (".csv", "video_id,rank_1\na\x1b[2J,run\n", r"line 2: 'a\\x1b\[2J' holds a control character"),
        (".csv", b"video_id,rank_1\na,\xff\n", "line 2: it is not UTF-8"),
        (".jsonl", '{"video_id": "a", "ranked": ["run"]}\n{"video_id"\n', "line 2: it is no JSON"),
        (".jsonl", '{"video_id": "a", "scores": {"run": NaN}}\n', "NaN is no score"),
        (".jsonl", '\n{"video_id": "a", "scores": {"run": NaN}}\n', "line 2: NaN is no score"),
        (".jsonl", '{"video_id": "a", "scores": {"run": null}}\n', "line 1: the score of 'run' is None"),
        (".jsonl", '{"video_id": "a", "scores": {"run": 1, "run": 2}}\n', "line 1: the key 'run' is there twice"),
        (".jsonl", '{"video_id": "a", "answer": "run"}\n', "line 1: an answer is an object with video_id and either"),
        (".jsonl", '["a"]\n', "line 1: an answer is an object"),
        (".jsonl", '{"video_id": "a", "ranked": "run"}\n', "line 1: ranked is a list"),
        (".jsonl", '{"video_id": "a", "ranked": [true]}\n', "line 1: True is no class name"),
        (".jsonl", '{"video_id": 1.5, "ranked": ["run"]}\n', "line 1: its video_id is 1.5"),
        (".jsonl", '{"video_id": "a", "ranked": ["r\\u0000n"]}\n', r"line 1: 'r\\x00n' holds a control character"),
        (".jsonl", '{"video_id":"a","ranked":["x"]}\n{"video_id":"b","scores":{"x":1}}\n', "some answers are ranked"),
        (".json", "3", "neither a list of answers nor an object"),
        (".json", "[", "line 1: it is no JSON"),
        (".json", "[" * 100000, "line 1: it is no JSON that can be read"),
        (".json", '[{"video_id": "a", "ranked": ["x"]}, 7]', "entry 2: an answer is an object"),
        (".json", "<html>", "line 1: it is no JSON"),
        (".pkl", "x", "the file's name ends in .pkl; it is one of .csv, .jsonl, .json"),
    ],
)
def test_what_is_no_table_of_answers_is_refused_with_its_line(suffix, content, said):
    with pytest.raises(BenchError, match=said):
        answers.parse(content if isinstance(content, bytes) else content.encode(), suffix)


def test_three_forms_of_one_content_are_read_alike():
    lists = "video_id,rank_1,rank_2\n7,run,wave\nb,clap,\n"
    entries = [{"video_id": 7, "ranked": ["run", "wave"]}, {"video_id": "b", "ranked": ["clap"]}]
    forms = [
        answers.parse(lists.encode(), ".csv"),
        answers.parse("\n\n".join(map(json.dumps, entries)).encode(), ".jsonl"),
        answers.parse(json.dumps(entries).encode(), ".json"),
        answers.parse(json.dumps({str(e["video_id"]): e["ranked"] for e in entries}).encode(), ".json"),
        answers.parse(b"\xef\xbb\xbf" + lists.replace("\n", "\r\n").encode(), ".csv"),
    ]
    assert all([(a.video_id, a.ranked) for a in form] == [("7", ("run", "wave")), ("b", ("clap",))] for form in forms)


def test_a_class_named_twice_in_one_answer_is_refused():
    with pytest.raises(BenchError, match="line 1: the class 'run' is named twice"):
        judge([{"video_id": IDS[0], "ranked": ["run", "RUN"]}])


def test_a_file_of_other_videos_is_refused_with_examples():
    with pytest.raises(BenchError, match="none of its 1 videos is a test video here; .* such as 'q'.*'test0.mp4'"):
        judge([{"video_id": "q", "ranked": ["run"]}])
