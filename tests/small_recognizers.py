"""Recognisers of MMAction2 that tests use: shown small pictures, with random weights, and one in a checkpoint as MMEngine writes it."""

import dataclasses

import torch
from safetensors.torch import save_file

from bench import plugins, recognizers
from bench.compat import mmaction2

TSM = "tsm_imagenet-pretrained-mobilenetv2_8xb16-1x1x8-100e_kinetics400-rgb"
SIDE = 48


def shrink(monkeypatch):
    """Small pictures: what is tested does not depend on their size, the time does."""
    real = recognizers.pipeline
    monkeypatch.setattr(recognizers, "pipeline", lambda name: dataclasses.replace(real(name), side=SIDE, size=SIDE))


def load(name):
    return plugins.find("adapters", name).load(name, "cpu")


def built(config=TSM, num_classes=None, seed=1):
    torch.manual_seed(seed)
    model = mmaction2.build(recognizers.path_of(config), num_classes)
    mmaction2.draw(model)
    return model.eval()


def release(path, num_classes=7):
    """A checkpoint as MMEngine's Runner leaves it, with its records beside the weights; the model that it is of."""
    mmaction2.import_mmaction()
    from mmengine.logging.history_buffer import HistoryBuffer

    model = built(num_classes=num_classes)
    records = {"log_scalars": {"train/loss": HistoryBuffer([1.0, 3.0], [1, 1])}, "runtime_info": {"epoch": 3}}
    torch.save({"meta": {"epoch": 3}, "state_dict": model.state_dict(), "message_hub": records}, path)
    return model


def weights(path, seed=0):
    """A checkpoint of the values that `seed` draws, whose bytes are the same each time; the backbone's name with it."""
    save_file({key: value.contiguous() for key, value in built(seed=seed).state_dict().items()}, path)
    return f"mmaction2:{TSM}@{path}"
