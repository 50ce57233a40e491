"""`kill -9` of a run's training when each of its checkpoints lies there, then the same run again: a program, with a warm parent.

`python tests/killing_training.py HOME`, whose folder `data` holds the toy set's videos. Prints JSON: method -> at which epochs it was
killed, how many steps the second process took, and whether the bytes were those of a run left alone.
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

from killing import forked

EPOCHS = 4
METHODS = ("coop", "knowledge_prompt")  # SGD and AdamW


def main(home):
    from bench import checkpoints, extraction, knowledge, planning, runner, store, training
    from bench.specs import RunSpec

    knowledge.words()
    checkpoints.keeping.__wrapped__.__defaults__ = (0.0,)  # one at every epoch
    save = checkpoints.Checkpoint.save
    steps = home / "steps"

    def planned(method):
        return planning.resolve(
            RunSpec(
                dataset="toy",
                backbone="tiny-clip",
                method=method,
                protocol="few_shot",
                shots=2,
                config={"epochs": EPOCHS, "batch_size": 8},
                limit=6,
            ),
            home,
        )

    def run(resolved, die_in=None):
        def saved(self, history, *others):
            save(self, history, *others)
            if len(history) == die_in:
                os.kill(os.getpid(), signal.SIGKILL)

        checkpoints.Checkpoint.save = saved
        gradients = training._gradients

        def counted(*args):
            with steps.open("a") as f:
                f.write(".")
            return gradients(*args)

        training._gradients = counted
        steps.write_text("")
        runner.execute(resolved, home)

    found = {}
    for method in METHODS:
        resolved = planned(method)
        assert forked(lambda: extraction.extract([resolved], home)) == 0  # noqa: B023 - called here
        folder = store.run_folder(home, resolved.run_id)
        wanted, taken, same = None, [], []
        for die_in in (None, *range(1, EPOCHS + 1)):
            shutil.rmtree(folder, ignore_errors=True)
            if die_in is not None:
                code = forked(lambda: run(resolved, die_in))  # noqa: B023
                assert code == -signal.SIGKILL and not folder.exists(), code
            assert forked(lambda: run(resolved)) == 0  # noqa: B023
            bytes_now = (folder / "predictions.npz").read_bytes()
            wanted = wanted or bytes_now
            taken.append(len(steps.read_text()))
            same.append(bytes_now == wanted)
        told = store.read_record(home, resolved.run_id)["columns"]["micro_batch"]
        left = (home / "checkpoints" / resolved.run_id).exists()
        found[method] = {"steps": taken, "same": same, "left": left, "micro_batch": told}
    print(json.dumps(found))


if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parent.parent)]
    main(Path(sys.argv[1]))
