import pytest

from bench import sites
from bench.contracts import BenchError
from bench.plugins import ROOT


def load(tmp_path, text):
    path = tmp_path / "site.toml"
    path.write_text(text)
    return sites.load(path)


def test_the_example_is_read_whole(tmp_path):
    site = sites.load(ROOT / "docs" / "site.example.toml")
    assert (site.device, site.features.partition, site.runs.partition) == ("cuda", "gpu", "gpu")
    assert (site.features.cpus, site.runs.cpus) == (8, 4) and (site.features.time_min, site.runs.time_min) == (240, 120)
    assert (site.features.max_jobs, site.runs.max_jobs) == (16, 8)


def test_its_comments_name_keys_that_there_are(tmp_path, monkeypatch):
    monkeypatch.setenv("USER", "me")
    lines = [line.removeprefix("# ") for line in (ROOT / "docs" / "site.example.toml").read_text().splitlines()[2:]]
    text = "\n".join(line for line in lines if " = " in line or line.startswith("[")).replace("gpus = 1 ", "gpus = 0 ")
    site = load(tmp_path, text)
    assert (
        site.python
        and site.scratch == "$SLURM_TMPDIR"
        and site.home.endswith("/kpbench")
        and site.store == "/group/kpbench/features"
        and site.runs.gres == "gpu:a100:1"
        and len(site.runs.sbatch) == 2 == len(site.runs.setup)
    )


def test_an_empty_file_leaves_all_to_the_cluster(tmp_path):
    site = load(tmp_path, "")
    assert site.features == site.runs == sites.Resources() and site.device == "cuda"


@pytest.mark.parametrize(
    ("time", "minutes"),
    [("90", 90), ('"90"', 90), ('"01:30:00"', 90), ('"1-00:00:30"', 1441), ('"00:00:30"', 1), ('"100:00:00"', 6000)],
)
def test_times_are_slurm_s(tmp_path, time, minutes):
    assert load(tmp_path, f"time = {time}").runs.time_min == minutes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('partitions = "gpu"', "there is no key 'partitions'; did you mean partition?"),
        ("[runs]\nwalltime = 3", r"\[runs\] there is no key 'walltime'; did you mean time"),
        ('[runs]\ndevice = "cpu"', r"\[runs\] there is no key 'device'"),
        ("[run]\ncpus = 1", "there is no key 'run'; did you mean runs"),
        ("cpus = 0", "cpus is 0; it is at least 1"),
        ("max_jobs = -1", "max_jobs is -1; it is at least 1"),
        ("gpus = -1", "gpus is -1; it is at least 0"),
        ('gpus = "1"', "gpus is '1'; it is a whole number"),
        ("gpus = true", "gpus is True; it is a whole number"),
        ("partition = 3", "partition is 3; it is text in quotes"),
        ('partition = "a\\nb"', "partition holds a line break"),
        ('time = "4h"', "time is '4h'; write minutes"),
        ("time = 0", "it is at least 1 minute"),
        ("time = 1.5", "write minutes"),
        ('sbatch = "--x"', "sbatch is a list of lines in quotes"),
        ('sbatch = ["x"]', "each is an option of sbatch"),
        ('setup = ["a\\nb"]', "setup is a list of lines"),
        ('device = "gpu"', "device is 'gpu'; it is one of cpu, cuda"),
        ("features = 3", "features is 3; it is a table"),
        ('gpus = 1\ngres = "gpu:1"', "give gpus or gres, not both"),
        ('scratch = "/tmp"', "there is no key 'scratch'"),
        ("places = 3", "places is 3; it is a table"),
        ('[places]\nhomes = "/x"', r"\[places\] there is no key 'homes'; did you mean home"),
        ("[places]\nfeatures = 3", "features is 3; it is text in quotes"),
        ('[places]\nfeatures = "here"', r"features in \[places\] is 'here'; it is a whole path"),
        (
            '[places]\nhome = "/x/$NOT_SET_AT_ALL"',
            r"home in \[places\] is '/x/\$NOT_SET_AT_ALL'; \$NOT_SET_AT_ALL is not set",
        ),
        ("cpus = ", "cannot be read as TOML"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_key(tmp_path, text, said):
    with pytest.raises(BenchError, match=rf"site\.toml.*{said}"):
        load(tmp_path, text)


def test_a_file_of_bytes_is_said(tmp_path):
    (tmp_path / "site.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BenchError, match="cannot be read as TOML"):
        sites.load(tmp_path / "site.toml")


def test_where_it_lies(tmp_path, monkeypatch):
    monkeypatch.delenv("BENCH_SITE", raising=False)
    with pytest.raises(BenchError, match=r"there is no site file at .*site\.toml; copy docs/site\.example\.toml there"):
        sites.find(tmp_path)
    (tmp_path / "site.toml").touch()
    assert sites.find(tmp_path) == tmp_path / "site.toml"
    monkeypatch.setenv("BENCH_SITE", str(tmp_path / "other.toml"))
    with pytest.raises(BenchError, match=r"\$BENCH_SITE is .*other\.toml, and there is no such file"):
        sites.find(tmp_path)
    (tmp_path / "other.toml").touch()
    assert sites.find(tmp_path) == tmp_path / "other.toml"


@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        ("", 0),
        ("gpus = 2", 2),
        ('gres = "gpu"', 1),
        ('gres = "gpu:3"', 3),
        ('gres = "tmpdisk:50,gpu:a100:4"', 4),
        ('gres = "tmpdisk:50"', 0),
        ('sbatch = ["--gpus-per-node=a100:2"]', 2),
        ('sbatch = ["--gres=gpu:2", "--constraint=a100"]', 2),
    ],
)
def test_gpus_are_counted_however_they_are_asked_for(tmp_path, text, gpus):
    assert load(tmp_path, text).runs.num_gpus == gpus
