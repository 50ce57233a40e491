"""Kill a worker at every fsync and rename on its way, then let another finish: run as a program, with a warm parent.

`python tests/killing.py HOME JOB STAGE RUN_ID SIDE`, where SIDE is "before" or "after" the call did its work: forks for each try, so
that torch is imported once. Prints JSON: how many places there were, what was wrong after which, and the names of what was made.
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


def made(home, stage, run_id):
    """What a stage makes, by name: the shards of features, or the predictions of the run beside its other files."""
    if stage == "features":
        return {path.name: path for path in sorted(home.glob("features/*/*.safetensors"))}
    return {path.name: path for path in sorted((home / "runs" / run_id[:2] / run_id).iterdir())}


def state(home, stage, run_id):
    """What must be the same after every try: the bytes, and the names of everything that lies about."""
    found = made(home, stage, run_id)
    same = found if stage == "features" else {"predictions.npz": found["predictions.npz"]}
    shelves = {"features": home.glob("features/*"), "runs": [home / "runs" / run_id[:2]]}[stage]
    own = (*found, *(Path(name).stem + ".cost.json" for name in found), run_id)
    folders = (*shelves, home / "leases", home / "checkpoints")
    lying = [str(p.relative_to(home)) for f in folders if f.is_dir() for p in sorted(f.iterdir()) if p.name not in own]
    return {"bytes": {n: p.read_bytes().hex() for n, p in same.items()}, "lying": lying, "made": sorted(found)}


def finished(home, stage, run_id):
    """What is whole by now and must not be written again: path -> inode."""
    whole = home.glob("features/*/*.safetensors") if stage == "features" else home.glob(f"runs/*/{run_id}/COMPLETE")
    return {path: path.stat().st_ino for path in whole}


def main(base, job, stage, run_id, side):
    # Warm, so that children import nothing.
    from bench import checkpoints, features, jobs, knowledge, runner, tuner, worker  # noqa: F401

    knowledge.words()
    checkpoints.EVERY_S = 0.0  # one at every epoch
    checkpoints.keeping.__wrapped__.__defaults__ = (0.0,)
    features.SHARD_ROWS = 12  # two shards
    work_in = base.parent / "try"

    def work():
        worker.work(str(work_in / "jobs" / job), stage)

    def fresh():
        shutil.rmtree(work_in, ignore_errors=True)
        shutil.copytree(base, work_in)

    fresh()
    assert forked(work) == 0
    wanted = state(work_in, stage, run_id)
    wrong, place = [], 0
    while True:
        fresh()

        def killed(place=place + 1):
            die_at(place, side == "after")
            work()

        code = forked(killed)
        if code == 0:  # there are no more of them
            break
        place += 1
        if code != KILLED:
            wrong.append([place, f"it ended by itself, with {code}"])
            break
        whole = finished(work_in, stage, run_id)
        if forked(work) != 0:
            wrong.append([place, "the second worker failed"])
            continue
        found = state(work_in, stage, run_id)
        wrong += [[place, key] for key in wanted if found[key] != wanted[key]]
        if not whole.items() <= finished(work_in, stage, run_id).items():
            wrong.append([place, "what was complete was written again"])
    print(json.dumps({"places": place, "wrong": wrong, "made": wanted["made"]}))


if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parent.parent)]
    main(Path(sys.argv[1]), *sys.argv[2:])
