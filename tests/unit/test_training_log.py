"""What a training tells of itself: kept for the run's record, told while it goes on, and shown for as long as a worker has it in hand."""

import json

import pytest
import torch
from torch import nn

from bench import jobs, launch, records, training_log, worker
from bench._progress import Those, bars
from bench.cli import _submissions
from bench.leases import Leases
from bench.training import TrainConfig, train

RUN = "0123456789ab"
CONFIG = TrainConfig(learning_rate=0.1, weight_decay=0.0, batch_size=4, epochs=3, warmup_epochs=0)


def fit(loss=lambda parameter: parameter.square().mean()):
    parameter = nn.Parameter(torch.ones(3))
    return train([parameter], lambda rows: loss(parameter), 6, CONFIG, torch.Generator())


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(training_log, "EVERY_S", 0.0)


def test_every_training_of_a_run_is_in_its_record(tmp_path):
    with training_log.keeping(tmp_path / "kept") as logs:
        histories = [fit(), fit()]
    assert [log.record() for log in logs] == [{"epochs": 3, "kept_epoch": 3, "loss": history} for history in histories]
    assert not (tmp_path / "kept").exists(), "one that takes no time leaves nothing"
    fit()  # nobody keeps it


def test_while_it_goes_on_it_is_told_of_those_whom_a_worker_has_in_hand(tmp_path, at_once):
    seen = []

    def look():
        seen.extend(training_log.under_way(tmp_path))

    with Leases(tmp_path / "leases") as leases, training_log.watched(look):
        with training_log.keeping(tmp_path / "checkpoints" / ("0" * 12)):
            fit()  # no worker holds it
        lease = leases.take(RUN)
        with training_log.keeping(tmp_path / "checkpoints" / RUN):
            history = fit()
        assert [(t.run_id, t.done, t.epochs) for t in seen] == [(RUN, done, 3) for done in (0, 1, 2, 3)]
        assert [t.loss for t in seen] == [None, *history]
        lease.release()
        look()
        lease = leases.take(RUN)
        held = tmp_path / "leases" / RUN
        held.write_text(json.dumps(json.loads(held.read_text()) | {"started": "before"}))
        look()
    assert len(seen) == 4, "nobody has it in hand, or who had it is gone"


def test_within_an_epoch_and_with_validation(tmp_path, at_once):
    log = training_log.Log(9, tmp_path / "checkpoints" / RUN / training_log.NAME)
    with Leases(tmp_path / "leases") as leases:
        leases.take(RUN)
        log.tell([2.0, 1.0], [0.25, None], 1, (2.5, 0.75))
        (told,) = training_log.under_way(tmp_path)
        assert told == training_log.UnderWay(RUN, 9, 2.5, 0.75, 0.25)
        assert told.text == "loss 0.75, val 25.0"
        assert _submissions._trainings(tmp_path) == [(RUN, "2/9", told.text)]
        log.path.write_text("{")  # while it is written
        assert training_log.under_way(tmp_path) == []
    assert log.record() == {"epochs": 9, "kept_epoch": 1, "loss": [2.0, 1.0], "val_top1": [0.25, None]}


def test_a_disk_that_takes_nothing_ends_no_training(tmp_path, at_once):
    (tmp_path / "file").touch()
    with training_log.keeping(tmp_path / "file") as logs:
        assert fit() == logs[0].loss


def test_bars_come_and_go_and_are_not_too_many():
    with bars() as display:
        those = Those(display, most=2)
        those.show([("a", "loss 1", 0.5, 3), ("b", "", 0, 3), ("c", "", 0, 3)])
        assert [(t.description, t.completed) for t in display.tasks] == [("a loss 1", 0.5), ("b", 0)]
        those.show([("b", "loss 2", 2, 3), ("c", "", 1, 3)])
        assert [(t.description, t.completed) for t in display.tasks] == [("b loss 2", 2), ("c", 1)]


def test_a_launch_shows_the_epochs_while_a_run_trains(tmp_path, at_once, monkeypatch):
    job = jobs.create(tmp_path, {"runs": [{"lease": RUN}]}, {})
    drawn = []

    def work(folder, stage, tick):
        with Leases(tmp_path / "leases") as leases, training_log.keeping(tmp_path / "checkpoints" / RUN):
            leases.take(RUN)
            fit()
            drawn.extend((t.description, t.completed, t.total) for t in display.tasks[1:])
        job.close("runs", 0, {})

    monkeypatch.setattr(worker, "work", work)
    with bars() as display:
        launch._stage(job, "runs", "debug", 1, 0, display)
        assert [task.description for task in display.tasks] == ["runs"], "what is done is shown no more"
    ((said, done, total),) = drawn
    assert said.startswith(f"{RUN[:6]} epochs, loss ") and (done, total) == (3, 3)


def test_show_tells_losses_and_what_validation_chose():
    long = {
        "epochs": 40,
        "kept_epoch": 3,
        "loss": [40.0 - n for n in range(30)],
        "val_top1": [0.1, None, 0.5] + [0.2] * 27,
    }
    said = records._trained(json.loads(json.dumps(long)))
    assert said == ("30 of 40 epochs, loss 40 39 38 37 36 ... 15 14 13 12 11; epoch 3 kept, top-1 0.5000 on validation")
    assert records._trained({"epochs": 2, "kept_epoch": 2, "loss": [0.5, 0.25]}) == "2 of 2 epochs, loss 0.5 0.25"
