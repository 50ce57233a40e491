import json
import shutil

import pytest

from bench import jobs, store, trials
from bench.cli import _submissions
from bench.contracts import BenchError

RUN, OTHER, STUDY = "0123456789ab", "ba9876543210", "5" * 12


@pytest.fixture
def job(tmp_path):
    stages = {"features": [{"lease": "features-1"}], "runs": [{"lease": RUN}, {"lease": OTHER}]}
    return jobs.create(tmp_path, stages, {"where": "local", "source": "s"})


def complete(job, run_id):
    folder = store.run_folder(job.home, run_id)
    folder.mkdir(parents=True)
    (folder / "COMPLETE").touch()


def test_it_is_read_as_it_was_written(job, tmp_path):
    again = jobs.find(tmp_path, job.job_id)
    assert again.submission["where"] == "local" and again.submission["command"] and again.home == tmp_path
    tasks = again.stages["runs"]
    assert tasks.leases == [RUN, OTHER] == [task["lease"] for task in tasks] and tasks[-1:] == [{"lease": OTHER}]
    assert again.run_id("runs", 1) == OTHER and again.run_id("features", 0) is None


def test_a_task_is_open_until_it_is_closed_or_its_run_is_complete_whoever_did_it(job):
    assert job.open_tasks("features") == [0] and job.open_tasks("runs") == [0, 1]
    complete(job, OTHER)
    assert job.open_tasks("runs") == [0] and job.result("runs", 1) is None
    job.close("runs", 0, {"run_id": RUN, "error": "no"})
    assert job.open_tasks("runs") == [] and job.results("runs") == [{"run_id": RUN, "error": "no"}]
    assert job.is_open("features", 0) and job.open_tasks("features") == []


def test_features_that_are_all_there_is_to_do_are_open(tmp_path):
    job = jobs.create(tmp_path, {"features": [{"lease": "features-1"}]}, {})
    assert job.open_tasks("features") == [0] and job.open_tasks("runs") == []


def test_what_one_stage_came_to_says_nothing_of_the_other(job):
    job.close("features", 0, {"lost": True, "error": "given up"})
    assert job.open_tasks("runs") == [0, 1] and job.results("runs") == job.lost("runs") == []
    job.close("runs", 0, {"run_id": RUN, "error": "no"})
    assert len(job.results("features")) == len(job.lost("features")) == len(job.results("runs")) == 1


def test_a_submission_is_finished_once_nothing_is_open_or_lost(job):
    job.finish()
    assert not job.is_finished
    complete(job, RUN)
    job.close("features", 0, {"lost": True, "error": "given up"})
    job.close("runs", 1, {"run_id": OTHER, "error": "the loss is nan"})
    job.finish()
    assert not job.is_finished and len(job.lost("features")) == 1
    job.resume()
    assert job.open_tasks("features") == [] == job.lost("features") and job.result("runs", 1)
    job.close("features", 0, {"encoded": 1})
    job.finish()
    assert job.is_finished
    job.resume()
    assert not job.is_finished


def test_nothing_is_left_of_what_another_submission_did(job):
    """The same command again after Ctrl-C, or both at once: nobody comes back to this one."""
    for stage in jobs.STAGES:
        job.close(stage, 0, {"lost": True, "error": "given up"})
    assert _submissions.submissions(job.home)[1] == _submissions.FAILED
    for run_id in (RUN, OTHER):
        complete(job, run_id)
    (job.folder / "done" / "features-0.lost").unlink()
    assert job.is_open("features", 0) and job.open_tasks("features") == [], "no run waits for them"
    job.close("features", 0, {"lost": True, "error": "given up"})
    assert job.lost("runs") == job.lost("features") == []
    assert _submissions.submissions(job.home) == ([], _submissions.DONE)
    job.finish()
    assert job.is_finished


@pytest.fixture
def study(tmp_path):
    """A submission that goes on with a study of one trial, which is on test with the seeds 1 and 2."""
    trials.folder(tmp_path, STUDY).mkdir(parents=True)
    told = {"schema": trials.SCHEMA, "trials": 1, "objectives": ["accuracy"], "columns": {}}
    (trials.folder(tmp_path, STUDY) / "study.json").write_text(json.dumps(told))
    task = {"lease": f"{jobs.STUDY}{STUDY}-0-12345678", "study": STUDY, "seeds": [1, 2]}
    return jobs.create(tmp_path, {"runs": [task]}, {"where": "local"})


def end_trial(job, state):
    done = {"scores": (0.5,), "values": (0.5,)} if state == "complete" else {}
    trial = trials.Trial(number=0, proposed={}, params={}, distributions={}, state=state, **done)
    trials.write_end(trials.folder(job.home, STUDY), trial)


def test_nothing_is_left_of_a_study_that_another_submission_finished(study):
    def left():
        assert study.is_open("runs", 0) == bool(study.open_tasks("runs"))
        return study.open_tasks("runs")

    assert left() == [0]
    end_trial(study, "complete")
    assert left() == [0], "which runs are its best on test is not known"
    for seed, run_id in ((1, RUN), (2, OTHER)):
        trials.write_final(trials.folder(study.home, STUDY), seed, run_id)
    complete(study, RUN)
    assert left() == [0]
    store.write_failure(study.home, OTHER, {"columns": {}}, "BenchError: the loss is nan", "")
    assert left() == [], "a failure is an end"
    study.close("runs", 0, {"lost": True, "error": "given up"})
    assert study.lost("runs") == [] and _submissions.submissions(study.home) == ([], _submissions.DONE)
    study.finish()
    assert study.is_finished


def test_nothing_is_left_of_a_study_without_a_result(study):
    end_trial(study, "failed")
    assert study.open_tasks("runs") == []


@pytest.mark.parametrize("name", ["study.json", "trials/0.json", "finals/1.json"])
def test_of_a_study_that_is_damaged_something_is_left_for_who_goes_on_with_it_says_so(study, name):
    end_trial(study, "complete")
    trials.write_final(trials.folder(study.home, STUDY), 1, RUN)
    (trials.folder(study.home, STUDY) / name).write_text("{")
    assert study.open_tasks("runs") == [0]
    shutil.rmtree(study.home / "studies")
    assert study.open_tasks("runs") == [0]


def test_a_finished_submission_is_not_asked_after_its_tasks(job):
    for run_id in (RUN, OTHER):
        complete(job, run_id)
    job.close("features", 0, {})
    job.finish()
    (job.folder / "runs.jsonl").write_text("not read")
    assert _submissions.submissions(job.home) == ([], _submissions.DONE)


def test_what_was_given_up_is_lost_until_it_is_answered(job):
    job.close("runs", 1, {"run_id": OTHER, "lost": True, "error": "given up"})
    assert not job.is_open("runs", 1) and job.open_tasks("runs") == [0]
    assert job.lost("runs") == job.results("runs") == [{"run_id": OTHER, "lost": True, "error": "given up"}]
    job.close("runs", 1, {"run_id": OTHER, "error": "the loss is nan"})
    assert job.lost("runs") == [] and job.results("runs") == [{"run_id": OTHER, "error": "the loss is nan"}]


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        (None, "No such file"),
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ('{"lease": "a"}\n', "its first line tells no leases"),
        ('{"leases": "ab"}\n', "its first line tells no leases"),
        ('{"leases": ["a", "b"]}\n{"lease": "a"}\n', "it has 1 of 2 tasks"),
        ('{"leases": ["a"]}\n{"lease":\n', "Expecting value"),
    ],
)
def test_tasks_that_are_damaged_are_said(job, spoilt, said):
    path = job.folder / "runs.jsonl"
    path.unlink() if spoilt is None else path.write_text(spoilt)
    with pytest.raises(BenchError, match=rf"runs\.jsonl cannot be read \(.*{said}.*\); delete the folder"):
        jobs.Job(job.folder).stages["runs"][0]


def test_a_damaged_submission_hides_no_other_and_is_not_taken_for_done(job, tmp_path):
    whole = jobs.create(tmp_path, {"runs": [{"lease": OTHER}]}, {"where": "local"})
    (job.folder / "runs.jsonl").unlink()
    rows, code = _submissions.submissions(tmp_path)
    told = {row[0]: row[-1] for row in rows}
    assert code == _submissions.FAILED and told[whole.job_id].startswith("here")
    assert told[job.job_id].startswith(f"damaged: {job.folder / 'runs.jsonl'} cannot be read")
    assert all(len(row) == len(_submissions.table().columns) for row in rows)


def test_a_submission_that_is_discarded_while_one_looks_is_none(job, monkeypatch):
    monkeypatch.setattr(jobs, "all_ids", lambda home: [job.job_id])
    job.discard()
    assert _submissions.submissions(job.home) == ([], _submissions.DONE)


def test_a_folder_without_marker_is_no_complete_run(job):
    store.run_folder(job.home, RUN).mkdir(parents=True)
    assert job.open_tasks("runs") == [0, 1]


def test_attempts_are_counted_for_each_task_until_they_are_taken_back(job):
    first = job.attempt("runs", 1)
    job.attempt("runs", 1)
    job.attempt("features", 0)
    assert [job.num_attempts("runs", n) for n in (0, 1)] == [0, 2] and job.total_attempts("runs") == 2
    first.unlink()
    assert job.num_attempts("runs", 1) == 1 == job.num_attempts("features", 0)


def test_task_1_is_not_task_10(tmp_path):
    job = jobs.create(tmp_path, {"runs": [{"lease": f"{n:012x}"} for n in range(12)]}, {})
    job.attempt("runs", 10)
    assert job.num_attempts("runs", 1) == 0 and job.num_attempts("runs", 10) == 1


def test_the_last_submission_is_found_and_one_by_its_beginning(job, tmp_path):
    assert jobs.find(tmp_path) == job == jobs.find(tmp_path, job.job_id[:-2])
    (tmp_path / "jobs" / "20990101-000000-abcdef").mkdir()
    assert jobs.find(tmp_path) == job, "one that is not written whole is none"
    (tmp_path / "jobs" / "20990101-000000-abcdef" / "submission.json").write_text("{}")
    assert jobs.find(tmp_path).job_id == "20990101-000000-abcdef"
    with pytest.raises(BenchError, match=r"several submissions begin with '20'"):
        jobs.find(tmp_path, "20")


@pytest.mark.parametrize("name", ["nope", "", "../../etc", "20990101"])
def test_a_submission_that_is_not_there_is_said(job, tmp_path, name):
    with pytest.raises(BenchError, match=rf"(there is no submission|several) ?.*{job.job_id}"):
        jobs.find(tmp_path, name)


def test_nothing_submitted_is_said(tmp_path):
    with pytest.raises(BenchError, match="nothing was submitted from"):
        jobs.find(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_damaged_submission_is_said(job, text):
    (job.folder / "submission.json").write_text(text)
    with pytest.raises(
        BenchError, match=r"submission\.json cannot be read .*delete the folder of this submission and start"
    ):
        print(jobs.Job(job.folder).submission)


def test_nothing_of_it_needs_torch():
    import subprocess
    import sys

    code = "import sys, bench.jobs, bench.leases; print(json.dumps([m for m in ('torch', 'pandas', 'numpy') if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", f"import json; {code}"], capture_output=True, text=True, check=True)
    assert "torch" not in json.loads(done.stdout) and "pandas" not in json.loads(done.stdout)
