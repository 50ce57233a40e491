"""What a config's schedule and pipelines become for our data: stretched, scaled, and drawn by seed, epoch and video alone."""

import itertools
import multiprocessing
import os
import random
import resource
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import processes
import pytest
import torch

from baselines import _recognizer_training, _recognizers, mmaction2_recognizer
from bench import cost, metrics, recognizers, stopping, training_log
from bench.compat import mmaction2, mmaction2_data, mmaction2_schedule
from bench.contracts import BenchError, Video, Videos

pytestmark = pytest.mark.mmaction2

TSM = "tsm_imagenet-pretrained-mobilenetv2_8xb16-1x1x8-100e_kinetics400-rgb"
TSM_STH = "tsm_imagenet-pretrained-r50_8xb16-1x1x16-50e_sthv2-rgb"
TSN = "tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_kinetics400-rgb"
MVIT = "mvit-base-p244_32x3x1_kinetics400-rgb"
SLOWFAST = "slowfast_r50_8xb8-8x8x1-256e_kinetics400-rgb"


def recipe(name):
    return mmaction2.read_config(recognizers.path_of(name))


def test_milestones_and_the_learning_rate_go_with_epochs_and_batch():
    plan = mmaction2_schedule.schedule(recipe(TSM), 10, 8)
    assert (plan.epochs, plan.epochs_done, plan.val_interval) == (10, 10, 1)
    (steps,) = plan.scheduler
    assert (steps["type"], steps["milestones"], steps["begin"], steps["end"]) == ("MultiStepLR", [4, 8], 0, 10)
    assert plan.optimizer["optimizer"]["lr"] == pytest.approx(0.02 * 8 / 128)
    assert (
        plan.optimizer["constructor"] == "TSMOptimWrapperConstructor" and plan.optimizer["clip_grad"]["max_norm"] == 20
    )


def test_without_epochs_it_is_the_config_whole():
    plan = mmaction2_schedule.schedule(recipe(TSM), None, 128)
    assert plan.epochs == 100 and plan.scheduler[0]["milestones"] == [40, 80]
    assert plan.optimizer["optimizer"] == {"type": "SGD", "lr": 0.02, "momentum": 0.9, "weight_decay": 0.00002}


def test_warm_up_within_an_epoch_stays_and_one_of_no_length_goes():
    warm, cosine = mmaction2_schedule.schedule(recipe(SLOWFAST), 64, 64).scheduler
    assert (warm["end"], cosine["T_max"], cosine["end"]) == (34 / 4, 64, 64)
    warm, cosine = mmaction2_schedule.schedule(recipe(MVIT), 20, 64).scheduler
    assert (warm["begin"], warm["end"], cosine["begin"], cosine["end"]) == (0, 3, 3, 20)


def test_where_a_rate_ends_goes_with_where_it_begins():
    whole, own = recipe(MVIT), mmaction2_schedule.schedule(recipe(MVIT), None, 256)
    assert (
        own.optimizer["optimizer"]["lr"] == whole["optim_wrapper"]["optimizer"]["lr"]
        and own.scheduler[1]["eta_min"] == 1.6e-5
    )
    small = mmaction2_schedule.schedule(whole, None, 8)
    assert small.scheduler[1]["eta_min"] == pytest.approx(1.6e-5 * 8 / 256)
    given = mmaction2_schedule.schedule(whole, None, 8, learning_rate=own.optimizer["optimizer"]["lr"] / 100)
    assert given.scheduler[1]["eta_min"] == pytest.approx(1.6e-7)


def test_other_rates_and_another_optimiser_are_taken_as_given():
    plan = mmaction2_schedule.schedule(recipe(TSM), 2, 8, lambda n: n - 1, "AdamW", 0.001, 0.1, "bf16")
    assert plan.optimizer["optimizer"] == {"type": "AdamW", "lr": 0.001, "weight_decay": 0.1}
    assert (plan.epochs, plan.epochs_done, plan.optimizer["type"]) == (2, 1, mmaction2_schedule.BF16)


@pytest.mark.parametrize(
    ("name", "videos"),
    [
        ("mvit-base-p244_32x3x1_kinetics400-rgb", 256),  # auto_scale_lr says it, the name does not
        ("slowonly_r50_8xb16-8x8x1-256e_imagenet-kinetics400-rgb", 128),  # from here on the name alone
        ("slowfast_r50_8xb8-8x8x1-256e_kinetics400-rgb", 64),
        ("slowfast_r101-r50_32xb8-4x16x1-256e_kinetics400-rgb", 256),
        ("trn_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv2-rgb", 128),
        ("tin_kinetics400-pretrained-tsm-r50_1x1x8-50e_kinetics400-rgb", 6),  # neither: its batch
    ],
)
def test_the_batch_a_rate_is_meant_for(name, videos):
    config = recipe(name)
    plan = mmaction2_schedule.schedule(config, None, 2 * videos)
    assert plan.optimizer["optimizer"]["lr"] == pytest.approx(2 * config["optim_wrapper"]["optimizer"]["lr"])


@pytest.mark.parametrize(("name", "other", "own"), [(TSM, "AdamW", "SGD"), (MVIT, "SGD", "AdamW")])
def test_another_optimiser_needs_a_rate_of_its_own(name, other, own):
    with pytest.raises(
        BenchError, match=rf"optimizer is {other}, .* meant for {own}; give a learning_rate for {other}"
    ):
        mmaction2_schedule.schedule(recipe(name), 2, 8, optimizer=other)
    same = mmaction2_schedule.schedule(recipe(name), 2, 8, optimizer=own)
    assert same == mmaction2_schedule.schedule(recipe(name), 2, 8)


def test_a_config_without_a_schedule_says_so():
    with pytest.raises(BenchError, match="does not say how it is trained"):
        mmaction2_schedule.schedule(recipe("uniformer-base_imagenet1k-pre_16x4x1_kinetics400-rgb"), None, 8)


def test_every_trainable_config_gives_steps_for_another_size():
    num = 0
    for name in recognizers.names():
        found = recipe(name)
        if not found.get("train_dataloader") or recognizers.find(name).flow:
            continue
        size = mmaction2_data.training_size(found)
        for stage in ("train", "val", "test"):
            steps = mmaction2_data.adapted(mmaction2_data.steps(found, stage), None, 64 / size, read)
            kinds = [step["type"] for step in steps if isinstance(step, dict)]
            assert not [k for k in kinds if k.endswith(("Init", "Decode"))]
            assert sum(isinstance(step, mmaction2_data.Decode) for step in steps) == 1, (name, stage)
        mmaction2_schedule.schedule(found, 5, 8)
        num += 1
    assert num > 90


# --- pictures ----------------------------------------------------------------------------------------------------


def read(video, numbers):  # found by its name in other processes
    """Frames that say which they are: a bright bar that moves."""
    out = np.zeros((len(numbers), 48, 64, 3), np.uint8)
    for row, number in zip(out, numbers, strict=True):
        row[:, number : number + 8] = 40 + number
    return out


def clips(seed, num=3, stage="train", frames=None, name=TSM):
    found = recipe(name)
    scale = 32 / mmaction2_data.training_size(found)
    steps = mmaction2_data.adapted(mmaction2_data.steps(found, stage), frames, scale, read)
    videos = Videos(tuple(Video(Path(f"{i}.mp4"), 40, 20.0) for i in range(num)))
    return mmaction2_data.Clips(videos, list(range(num)), steps, seed)


def test_what_is_drawn_depends_on_seed_epoch_and_video_alone():
    one = clips(1)
    first = one[0, 1][0]["inputs"]
    assert first.dtype == torch.uint8 and tuple(first.shape) == (8, 3, 32, 32)
    np.random.rand(7)  # noqa: NPY002
    torch.rand(3)
    one[0, 2], one[1, 1]
    assert torch.equal(clips(1)[0, 1][0]["inputs"], first)
    others = [clips(2)[0, 1], clips(1)[1, 1], clips(1)[0, 2]]
    assert not any(torch.equal(other[0]["inputs"], first) for other in others)


def test_drawing_leaves_the_generators_as_they_were(monkeypatch):
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("a GPU's generator stays where it is"))
    one = clips(1)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    one[0, 0]
    assert np.array_equal(np.random.get_state()[1], before[0]) and torch.equal(torch.get_rng_state(), before[1])  # noqa: NPY002


def test_frames_and_sizes_go_to_every_stage():
    assert tuple(clips(1, frames=4)[0, 0][0]["inputs"].shape) == (4, 3, 32, 32)
    assert tuple(clips(1, stage="val")[0, 0][0]["inputs"].shape) == (8, 3, 32, 32)
    assert tuple(clips(1, stage="test")[0, 0][0]["inputs"].shape) == (24, 3, 37, 37)  # three crops of 256 * 32 / 224


@pytest.mark.parametrize("stage", ["val", "test"])
@pytest.mark.parametrize("frames", [None, 3, 4])
@pytest.mark.parametrize("name", [TSM, TSM_STH, TSN])
def test_the_tables_count_the_frames_and_views_that_are_shown(name, frames, stage):
    told = recognizers.views(recipe(name), stage, frames)
    assert (
        len(clips(1, stage=stage, frames=frames, name=name)[0, 0][0]["inputs"])
        == told["frames"] * told["clips"] * told["crops"]
    )
    assert told["frames"] == (1 if name == TSN else frames or 8 if name == TSM else frames or 16)


@pytest.mark.parametrize(
    ("resolution", "views", "sides"), [(64, "test", (73, 64)), (64, "one", (64, 64)), (None, "test", (256, 224))]
)
def test_the_tables_tell_the_sizes_of_training_and_of_test_views(resolution, views, sides, monkeypatch):
    """TSM is tested on crops of 256 pixels where it is trained on 224."""
    monkeypatch.setattr(_recognizers, "operations", lambda *given: cost.Operations(1.0, ""))
    adapter = SimpleNamespace(recipe=recipe(TSM), facts=SimpleNamespace(architecture=TSM))
    told = mmaction2_recognizer.columns(mmaction2_recognizer.Config(resolution=resolution, views=views), adapter)
    assert (told["resolution"], told["train_resolution"]) == sides


def test_every_video_comes_once_an_epoch_and_a_restart_leaves_out_what_was():
    order = mmaction2_data.Order(7, 5)
    epochs = []
    for epoch in range(2):
        order.set_epoch(epoch)
        epochs.append(list(order))
    for epoch, found in enumerate(epochs):
        assert sorted(found) == [(epoch, i) for i in range(7)]
    assert [n for _, n in epochs[0]] != [n for _, n in epochs[1]]
    order.set_epoch(1)
    order.start = 4
    assert list(order) == epochs[1][4:] and list(order) == epochs[1] and len(order) == 7


def test_processes_share_an_epoch():
    shares = [list(mmaction2_data.Order(7, 5, rank, 2)) for rank in range(2)]
    whole = list(mmaction2_data.Order(7, 5))
    assert [len(share) for share in shares] == [4, 4]
    assert list(itertools.chain(*zip(*shares, strict=True)))[:7] == whole


def signalled(loader):
    """Its batches; what decodes for it gets the signals that a terminal and Slurm send to all processes."""
    for batch in loader:
        for process in multiprocessing.active_children():
            os.kill(process.pid, signal.SIGINT)
            os.kill(process.pid, signal.SIGUSR2)
        yield batch


def test_batches_are_the_same_from_another_process():
    order = mmaction2_data.Order(3, 5)
    order.set_epoch(1)
    here, there = (list(signalled(mmaction2_data.loader(clips(1, frames=2), order, 2, n))) for n in (0, 1))
    assert len(here) == len(there) == 2
    for own, other in zip(here, there, strict=True):
        assert all(torch.equal(*pair) for pair in zip(own["inputs"], other["inputs"], strict=True))
        assert [s.gt_label.tolist() for s in own["data_samples"]] == [
            s.gt_label.tolist() for s in other["data_samples"]
        ]


# --- what is refused, and what is left of a training ---------------------------------------------------------------


def opened():
    """Names of the files that this process has open."""
    found = []
    for path in Path("/proc/self/fd").glob("*"):
        with suppress(OSError):  # that of the listing itself
            found.append(str(path.readlink()))
    return found


def test_a_last_validation_is_made_whatever_the_interval_and_the_process_is_as_it_was():
    before = (
        multiprocessing.get_start_method(allow_none=True),
        cv2.getNumThreads(),
        resource.getrlimit(resource.RLIMIT_NOFILE),
    )
    logs = sorted(path for path in opened() if ".log" in path)  # the tests' own output may go to one
    cv2.setNumThreads(3)
    try:
        _, losses, top1, _ = processes.train_plain(4, 10, torch.device("cpu"), val_interval=5)
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before[1])
    assert len(losses) == len(top1) == 2 and top1[0] is None and 0 <= top1[1] <= 1
    assert multiprocessing.get_start_method(allow_none=True) == before[0]
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before[2]
    mmaction2.draw(mmaction2.build(recognizers.path_of(TSM), 3))  # which writes to the log that there was last
    assert sorted(path for path in opened() if ".log" in path) == logs, "no file stays open"


def test_the_generators_are_where_they_were_after_a_training():
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    with mmaction2_data.generators_kept(torch.device("cpu")):
        for draw in (random.random, np.random.rand, lambda: torch.rand(1)):  # noqa: NPY002
            draw()
    assert random.getstate() == before[0] and np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


def test_what_a_network_cannot_be_shown_is_said_before_it_trains():
    model = mmaction2.build(recognizers.path_of(SLOWFAST), 3)
    with pytest.raises(BenchError, match=r"cannot be shown views of 1 x 3 x 2 x 32 x 32, .* leave out"):
        mmaction2_recognizer._check_fits(model, clips(1, frames=2, name=SLOWFAST), torch.device("cpu"))
    model = mmaction2.build(recognizers.path_of(TSM), 3, num_frames=2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    mmaction2_recognizer._check_fits(model, clips(1, frames=2), torch.device("cpu"))
    assert model.training and all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_what_the_cpu_or_too_few_gpus_cannot_do_is_said_at_once(monkeypatch):
    adapter = SimpleNamespace(module=torch.nn.Linear(1, 1))
    with pytest.raises(BenchError, match="fp16, which trains on a GPU alone; take bf16 or float32"):
        mmaction2_recognizer.fit(mmaction2_recognizer.Config(precision="fp16"), adapter, None, None, (), 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(BenchError, match="processes is 4, one a GPU, and this worker has 2"):
        mmaction2_recognizer._check_processes(4, torch.device("cuda"))
    mmaction2_recognizer._check_processes(2, torch.device("cuda"))
    with pytest.raises(BenchError, match="processes is 0; it is positive"):
        mmaction2_recognizer.Config(processes=0)


def test_a_lost_decoder_is_a_stop_where_one_was_asked_for(monkeypatch, tmp_path):
    def lost(*args):
        raise RuntimeError("DataLoader worker (pid 17) is killed by signal: Terminated. ")

    monkeypatch.setattr(_recognizer_training.runner, "train", lost)
    log = training_log.Log(1)
    training = _recognizer_training.Training(
        plan=None, seed=0, batch_size=1, clips=clips(1), val_clips=None, kept=None, log=log
    )
    ask = partial(_recognizer_training.train, training, torch.nn.Linear(1, 1), torch.device("cpu"), tmp_path)
    with pytest.raises(RuntimeError, match="DataLoader worker"):
        ask()
    stopping.request("SIGTERM")
    try:
        with pytest.raises(stopping.Stopped, match="SIGTERM"):
            ask()
    finally:
        stopping.forget()


@pytest.mark.parametrize(("num", "classes"), [(500, 14), (57, 400), (7, 6)])
def test_mmaction2_s_accuracies_are_ours_to_the_last_digit(num, classes):
    mmaction2.import_mmaction()
    from mmaction.evaluation import AccMetric

    rng = np.random.default_rng(num)
    logits = rng.normal(size=(num, classes)).astype(np.float32)
    labels = rng.integers(0, classes, num)
    metric = AccMetric(metric_list=("top_k_accuracy", "mean_class_accuracy"))
    theirs = metric.compute_metrics(
        [{"pred": row, "label": int(label)} for row, label in zip(logits, labels, strict=True)]
    )
    ours = metrics.compute(logits, labels)
    assert (ours["top1"], ours["top5"]) == (theirs["top1"], theirs["top5"])
    # A class that is predicted and has no video counts as one without a hit there, and not at all here.
    asked, met = set(labels), set(labels) | set(logits.argmax(axis=1))
    assert theirs["mean1"] == pytest.approx(ours["mean_class_accuracy"] * len(asked) / len(met), rel=1e-12)
    assert len(met) > len(asked) or theirs["mean1"] == ours["mean_class_accuracy"]


class Drawing(torch.nn.Module):
    """Scores that hang on numpy's generator, as those of TRN's head do."""

    cls_head = SimpleNamespace(average_clips="score")

    def test_step(self, batch):
        drawn = float(np.random.rand())  # noqa: NPY002
        return [SimpleNamespace(pred_score=torch.tensor([drawn, 1.0])) for _ in batch["inputs"]]


def test_what_a_head_draws_is_the_same_for_every_batch(monkeypatch):
    steps = mmaction2_data.adapted(mmaction2_data.steps(recipe(TSM), "val"), 2, 32 / 224, read)
    found = Videos(tuple(Video(Path(f"{i}.mp4"), 40, 20.0) for i in range(3)))
    scores = []
    for at_once in (2, 16):
        np.random.rand(at_once)  # noqa: NPY002
        monkeypatch.setattr(_recognizers, "VIEWS_AT_ONCE", at_once)
        scores.append(_recognizers.predict(Drawing(), found, steps, torch.device("cpu")))
    assert torch.equal(*scores) and len(scores[0].unique(dim=0)) == 1


def test_a_rate_that_is_another_optimiser_s_is_said_before_anything_is_computed():
    adapter = SimpleNamespace(recipe=recipe(TSM))
    with pytest.raises(BenchError, match="give a learning_rate for AdamW"):
        mmaction2_recognizer.check(mmaction2_recognizer.Config(optimizer="AdamW"), adapter, ("a", "b"))
    mmaction2_recognizer.check(mmaction2_recognizer.Config(optimizer="AdamW", learning_rate=0.001), adapter, ("a", "b"))
