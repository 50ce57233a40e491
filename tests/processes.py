"""What tests have done in processes of their own that compute together: found there by its name."""

import os
import time

import torch
from torch import distributed as torch_distributed
from torch import nn

from bench import distributed, stopping
from bench.compat import mmaction2, mmaction2_schedule, mmaction2_training


class Odd(Exception):
    """One that cannot be sent as it is."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def share_and_fail(device):
    own = distributed.rank(), distributed.world(), torch.get_num_threads(), str(device)
    told = distributed.gathered(own), distributed.agreed(distributed.rank() == 0, distributed.rank() == 1)
    if distributed.rank() == 1:
        raise Odd(*told)
    torch_distributed.barrier()


def wait(path, device):
    """Until it is asked to stop; a signal of a terminal is not heard here."""
    (path / str(os.getpid())).touch()
    while not distributed.agreed(stopping.requested() is not None)[0]:
        time.sleep(0.05)
    stopping.check()
    raise stopping.Stopped("the first one was")


def main(path):
    """A process that starts others and is killed."""
    from functools import partial

    distributed.run(partial(wait, path), 2, "cpu")


class Plain(nn.Module):
    """What a recogniser is to MMEngine, with nothing that depends on how videos are put together: no batch statistics, no dropout."""

    def __new__(cls):
        mmaction2.import_mmaction()
        from mmengine.model import BaseModel

        class Model(BaseModel):
            def __init__(self):
                super().__init__()
                torch.manual_seed(1)
                self.layers = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))

            def forward(self, inputs, data_samples=None, mode="tensor"):
                scores = self.layers(torch.stack(inputs))
                if mode == "loss":
                    return {"loss": nn.functional.cross_entropy(scores, torch.tensor(data_samples))}
                return [
                    {"pred_score": s.softmax(0), "gt_label": torch.tensor([label])}
                    for s, label in zip(scores, data_samples, strict=True)
                ]

        return Model()


def train_plain(batch_size, num, device, val_interval=1):
    """Its values after two epochs, the losses, the top-1 on validation; from this process's share of `num` videos."""
    import tempfile
    from pathlib import Path

    from torch.utils.data import DataLoader

    from bench.compat import mmaction2_data

    generator = torch.Generator().manual_seed(3)
    inputs, labels = torch.randn(num, 5, generator=generator), torch.arange(num) % 3

    class Clips:
        metainfo = {}

        def __len__(self):
            return num

        def __getitem__(self, at):
            return inputs[at[1]], int(labels[at[1]])

    def collate(items):
        return {"inputs": [x for x, _ in items], "data_samples": [y for _, y in items]}

    def loader(seed):
        order = mmaction2_data.Order(num, seed, distributed.rank(), distributed.world())
        return DataLoader(Clips(), batch_size, sampler=order, collate_fn=collate, generator=torch.Generator())

    plan = mmaction2_schedule.Schedule(
        epochs=2,
        epochs_done=2,
        val_interval=val_interval,
        optimizer={"type": "OptimWrapper", "optimizer": {"type": "SGD", "lr": 0.3, "momentum": 0.9}},
        scheduler=[],
    )
    model = Plain()
    with tempfile.TemporaryDirectory() as folder:
        done = mmaction2_training.train(model, loader(7), loader(None), plan, 0, device, Path(folder))
    return (
        [p.detach().numpy() for p in model.parameters()],
        done.losses,
        done.val_top1,
        sorted(map(str, Path().iterdir())),
    )


if __name__ == "__main__":
    import sys
    from pathlib import Path

    main(Path(sys.argv[1]))
