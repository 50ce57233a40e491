"""Kill a worker before and after every fsync and rename on its way, then let another finish: run as a program, with a warm parent.

`python tests/killing.py HOME JOB RUN_ID`: forks for each try, so that torch is imported once. Prints
JSON: how many places there were, and what was wrong after which.
"""

import json
import os
import shutil
import sys
from pathlib import Path

KILLED = 9
CALLS = ("fsync", "rename", "replace", "link")


def forked(work):
    """Exit code of a function in a process of its own; 1 where it raises."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die_at(place, after):
    """From here on the `place`-th of the calls, counted from 1, ends the process, before or after it did its work."""
    calls = [0]

    def counted(call):
        def wrapper(*args, **options):
            calls[0] += 1
            if calls[0] == place and not after:
                os._exit(KILLED)
            result = call(*args, **options)
            if calls[0] == place and after:
                os._exit(KILLED)
            return result

        return wrapper

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))


def state(home, run_id):
    """What must be the same after every try: the predictions, and the names of everything that lies about."""
    shelf = home / "runs" / run_id[:2]
    folders = ("leases", "checkpoints")
    lying = [str(p.relative_to(home)) for p in sorted(shelf.iterdir()) if p.name != run_id]
    lying += [
        str(p.relative_to(home)) for name in folders if (home / name).is_dir() for p in sorted((home / name).iterdir())
    ]
    run = {p.name for p in (shelf / run_id).iterdir()}
    return {"predictions": (shelf / run_id / "predictions.npz").read_bytes().hex(), "lying": lying, "run": sorted(run)}


def main(base, job, run_id):
    # Warm, so that children import nothing: an optimizer brings torch._dynamo, which takes seconds.
    import torch._dynamo  # noqa: F401

    from bench import checkpoints, jobs, knowledge, runner, store, worker  # noqa: F401

    knowledge.words()
    checkpoints.EVERY_S = 0.0  # one at every epoch
    checkpoints.keeping.__wrapped__.__defaults__ = (0.0,)
    work_in = base.parent / "try"

    def work():
        worker.work(str(work_in / "jobs" / job), "runs")

    def fresh():
        shutil.rmtree(work_in, ignore_errors=True)
        shutil.copytree(base, work_in)

    fresh()
    assert forked(work) == 0
    wanted = state(work_in, run_id)
    wrong, place, num = [], 0, {False: 0, True: 0}
    while True:
        place += 1
        codes = []
        for after in (False, True):
            fresh()

            def killed(place=place, after=after):
                die_at(place, after)
                work()

            codes.append(forked(killed))
            if codes[-1] != KILLED:
                continue
            num[after] += 1
            whole = store.is_complete(work_in, run_id)
            before = (work_in / "runs" / run_id[:2] / run_id / "COMPLETE").stat().st_ino if whole else None
            if forked(work) != 0:
                wrong.append([place, after, "the second worker failed"])
                continue
            found = state(work_in, run_id)
            wrong += [[place, after, key] for key in wanted if found[key] != wanted[key]]
            marker = work_in / "runs" / run_id[:2] / run_id / "COMPLETE"
            if whole and marker.stat().st_ino != before:
                wrong.append([place, after, "a complete run was written again"])
        if codes == [0, 0]:
            break
    print(json.dumps({"before": num[False], "after": num[True], "wrong": wrong, "run": wanted["run"]}))


if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parent.parent)]
    main(Path(sys.argv[1]), *sys.argv[2:])
