"""What doctor asks of Slurm, with commands that answer as the real ones do."""

import pytest

from bench import _site_checks, slurm
from bench.contracts import BenchError
from bench.sites import load

PARTITIONS = """\
PartitionName=debug AllowGroups=ALL Default=YES MaxNodes=UNLIMITED MaxTime=UNLIMITED State=UP Nodes=n[1-4]
PartitionName=short AllowGroups=ALL Default=NO MaxNodes=UNLIMITED MaxTime=00:30:00 State=UP Nodes=n[1-4]
PartitionName=long AllowGroups=ALL Default=NO MaxNodes=UNLIMITED MaxTime=2-00:00:00 State=UP Nodes=n[1-4]"""
ANSWERS = {
    "scontrol": f"cat <<'END'\n{PARTITIONS}\nEND",
    "sacctmgr": "echo 'lab|'; echo 'lab|root'; echo 'root|root'",
    "sbatch": 'echo "$@" >>"$(dirname "$0")/asked"; echo "sbatch: Job 7 to start at 2026-01-01T00:00:00" >&2',
    "sacct": "true",
}
REFUSED = "echo 'allocation failure: Invalid generic resource (gres) specification' >&2; exit 1"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Makes a site from TOML, on a cluster whose commands answer by shell lines."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))  # not those of a Slurm on this machine

    def make(text="", **answers):
        for name, line in (ANSWERS | answers).items():
            (folder / name).write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{line}\n")
            (folder / name).chmod(0o755)
        path = tmp_path / "site.toml"
        path.write_text(text if "device" in text else f'device = "cpu"\n{text}')
        return load(path)

    yield make


def test_a_site_that_fits(site, tmp_path):
    assert _site_checks.problems(site('account = "lab"\ntime = "1-00:00:00"\npartition = "short,long"\ngpus = 1')) == []
    asked = (tmp_path / "bin" / "asked").read_text().splitlines()
    assert len(asked) == 2, "once for features, once for runs"
    for line in asked:
        assert line.startswith("--test-only") and line.endswith("--gpus-per-node=1 --wrap=true")
        assert "--partition=short,long --account=lab" in line and "--time=1440" in line


@pytest.mark.parametrize(
    ("text", "answers", "said"),
    [
        ('partition = "gpu"', {}, "there is no partition 'gpu' (there are debug, long, short)"),
        ("", {"scontrol": "echo PartitionName=a MaxTime=UNLIMITED"}, "no default partition; name one of a"),
        ("", {"scontrol": "true"}, "no default partition; name one of none"),
        ('partition = "short"\ntime = 31', {}, "time is 31 minutes, the partition's limit is 30"),
        ('partition = "long"\ntime = "2-00:01:00"', {}, "time is 2881 minutes, the partition's limit is 2880"),
        ('account = "la"', {}, "there is no account 'la' (there are lab, root)"),
        ('device = "cuda"', {}, 'device is "cuda", and no gpus or gres is asked for'),
        ('gres = "gpu:h100:1"', {"sbatch": REFUSED}, "Invalid generic resource (gres) specification"),
    ],
)
def test_what_is_wrong_is_said_of_both_kinds_of_work(site, text, answers, said):
    found = _site_checks.problems(site(text, **answers))
    assert [line.partition("] ")[0] for line in found] == ["[features", "[runs"]
    assert all(said in line for line in found), found


def test_without_accounting_the_account_is_left_to_sbatch(site):
    wanted = site('account = "la"', sacctmgr="echo 'You are not running a supported accounting_storage plugin'; exit 1")
    assert _site_checks.problems(wanted) == []


@pytest.mark.parametrize("line", ['gres = "gpu:a100:1"', 'sbatch = ["--gpus-per-task=1"]', 'sbatch = ["--gres=gpu"]'])
def test_a_gpu_may_be_asked_for_in_any_way(site, line):
    assert _site_checks.problems(site(f'device = "cuda"\n{line}')) == []


@pytest.mark.parametrize("name", ["scontrol", "sbatch"])
def test_a_slurm_that_does_not_answer(site, monkeypatch, name):
    monkeypatch.setattr(slurm, "ASK_S", 0.2)
    with pytest.raises(BenchError, match=f"^{name} does not answer within 0.2 s; Slurm may be down"):
        _site_checks.problems(site(**{name: "exec sleep 20"}))


def test_a_slurm_that_is_down_or_not_there(site, tmp_path):
    down = "echo 'slurm_load_partitions: Unable to contact slurm controller (connect failure)' >&2; exit 1"
    with pytest.raises(BenchError, match="scontrol show failed: .*Unable to contact slurm controller"):
        _site_checks.problems(site(scontrol=down))
    wanted = site()
    (tmp_path / "bin" / "scontrol").unlink()
    with pytest.raises(BenchError, match="there is no scontrol here"):
        _site_checks.problems(wanted)


def test_accounting_that_is_down_is_told(site):
    site()
    assert _site_checks.accounting() is None
    site(sacct="echo 'sacct: error: Problem talking to the database: Connection refused' >&2; exit 1")
    assert "Problem talking to the database" in _site_checks.accounting()
