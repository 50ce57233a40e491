"""`kill -9` of a recogniser's fine-tuning when some of its checkpoints lie there, then the same run again: a program, with a warm parent.

`python tests/killing_recognizer.py HOME FAMILY`, whose folder `data` holds the toy set's videos. Prints JSON: after which steps it was
killed, how many steps the second process took, whether the bytes were those of a run left alone, what was left lying.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
from killing import forked

SHORT = {"batch_size": 6, "resolution": 32, "views": "one"}
# Backbone, config, killed after which steps of three an epoch.
FAMILIES = {
    # Within an epoch, at the end of one, before the last validation.
    "tsm": (
        "mmaction2:tsm_imagenet-pretrained-mobilenetv2_8xb16-1x1x8-100e_kinetics400-rgb",
        {**SHORT, "epochs": 3, "frames": 2},
        (1, 3, 5, 9),
    ),
    # Large; its head draws which frames it relates, from numpy's generator.
    "trn": (
        "mmaction2:trn_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv2-rgb",
        {**SHORT, "epochs": 1, "frames": 4},
        (1,),
    ),
}
DRAWS = (np.random.random, random.random)  # noqa: NPY002 - as TRN's head does


def seen(state):
    """What later steps depend on: the epoch that is kept may be an earlier one, and predictions tell of that one alone."""
    import torch

    parts = [t.numpy().tobytes() for t in (*state["model"].values(), torch.get_rng_state())]
    return hashlib.sha256(b"".join(parts) + repr(state["done"]["losses"]).encode()).hexdigest()


def main(home, family):
    from mmengine.model import BaseModel

    from bench import checkpoints
    from bench.compat import mmaction2

    mmaction2.import_mmaction()
    checkpoints.keeping.__wrapped__.__defaults__ = (0.0,)  # one after every step
    write, train_step = checkpoints.StateFile.write, BaseModel.train_step
    print(json.dumps(killed(home, write, train_step, *FAMILIES[family])))


def killed(home, write, train_step, backbone, config, killed_after):
    """A run left alone, then one killed after each of these steps; `write` and `train_step` are the library's own."""
    import torch
    from mmengine.model import BaseModel

    from bench import checkpoints, planning, runner, store
    from bench.specs import RunSpec

    steps, last = home / "steps", home / "last"
    spec = RunSpec(
        dataset="toy",
        backbone=backbone,
        method="mmaction2_recognizer",
        protocol="few_shot",
        shots=1,
        config=config,
        limit=2,
    )
    resolved = planning.resolve(spec, home)
    folder = store.run_folder(home, resolved.run_id)

    def run(die_after=None):
        written = [0]

        def kept(self, state):
            write(self, state)
            written[0] += 1
            last.write_text(f"{state['done']['step']} {seen(state)}")
            if written[0] == die_after:
                os.kill(os.getpid(), signal.SIGKILL)

        def counted(model, *args, **kwargs):
            with steps.open("a") as f:
                f.write(".")
            with torch.no_grad():  # a step depends on what every generator draws
                next(model.parameters()).mul_(1 + sum(draw() for draw in DRAWS) / 100)
            return train_step(model, *args, **kwargs)

        checkpoints.StateFile.write, BaseModel.train_step = kept, counted
        steps.write_text("")
        runner.execute(resolved, home)

    wanted, taken, same, lasts, lying, trainings = None, [], [], [], [], []
    for die_after in (None, *killed_after):
        shutil.rmtree(folder, ignore_errors=True)
        if die_after is not None:
            code = forked(lambda: run(die_after))  # noqa: B023 - called here
            assert code == -signal.SIGKILL and not folder.exists(), code
        assert forked(run) == 0
        bytes_now = (folder / "predictions.npz").read_bytes()
        wanted = wanted or bytes_now
        taken.append(len(steps.read_text()))
        same.append(bytes_now == wanted)
        lasts.append(last.read_text())
        trainings.append(store.read_record(home, resolved.run_id)["training"])
        lying += [str(p) for p in (home / "checkpoints").iterdir()]
    files = sorted(path.name for path in folder.iterdir())
    record = store.read_record(home, resolved.run_id)
    told = {"columns": record["columns"], "trainings": trainings, "run": files}
    return {"steps": taken, "same": same, "lasts": lasts, "lying": lying, **told}


if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parent.parent)]
    main(Path(sys.argv[1]), sys.argv[2])
