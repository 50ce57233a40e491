"""Make the environment that every other target uses: `make setup [PYTHON=...] [TORCH=...]`.

    python .ci/setup.py .venv                    # our own environment, made if it is missing
    python .ci/setup.py /path/to/python          # someone else's: only what is missing goes in, its torch stays
    ... --torch "torch==2.11.0 torchvision==..." # another torch build: names, wheel files, uv's options

It runs under whatever Python the machine has, before anything is installed, so it uses the standard library alone and
a syntax that old versions read. It ends by writing a stamp file, whose age `make` compares with pyproject.toml and
constraints.txt.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

MINIMUM = (3, 11)
# What another torch build brings along; our pins say nothing about these where one is asked for or present.
TORCH_FAMILY = re.compile(r"^(torch|torchvision|torchaudio|triton|pytorch-triton|nvidia-.*|cuda-.*|intel-.*)$")


def fail(message):
    """Say what is wrong and what to do, and end with status 1."""
    sys.exit("make setup: " + message)


def run(command, **kwargs):
    """Run a command; where it fails, end with its own message and status."""
    done = subprocess.run(command, **kwargs)
    if done.returncode:
        fail("this failed (see above): " + " ".join(shlex.quote(c) for c in command))
    return done


def version_of(python):
    """(major, minor) of an interpreter, or None where it does not start."""
    try:
        text = subprocess.run(
            [python, "-c", "import sys; print(sys.version_info[0], sys.version_info[1])"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ).stdout.decode()
        return tuple(int(part) for part in text.split()) or None
    except (OSError, ValueError):
        return None


def find_base():
    """An interpreter that is new enough: this one, else the newest on PATH."""
    if sys.version_info[:2] >= MINIMUM:
        return sys.executable
    for minor in range(15, MINIMUM[1] - 1, -1):
        found = shutil.which("python3.%d" % minor)
        if found and (version_of(found) or (0, 0)) >= MINIMUM:
            return found
    return fail(
        "needs Python 3.11 or newer; python3 here is %d.%d. Install a newer one; or use an environment that has one: "
        "make setup PYTHON=/path/to/its/python" % sys.version_info[:2]
    )


def make_venv(folder):
    """The virtual environment's interpreter; makes it where it is missing or no longer starts."""
    python = os.path.join(folder, "bin", "python")
    if (version_of(python) or (0, 0)) >= MINIMUM:
        return python
    base = find_base()
    print("making %s with %s" % (folder, base), flush=True)
    done = subprocess.run([base, "-m", "venv", "--clear", folder])
    if done.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        fail(
            "%s cannot make virtual environments; install python3-venv (Debian, Ubuntu: apt install python3-venv). "
            "Or use an environment that you have: make setup PYTHON=/path/to/its/python" % base
        )
    return python


def pip_settings(python):
    """Environment for uv, which does not read pip's settings: an index or a certificate that is set there holds too."""
    environment = dict(os.environ)
    listed = subprocess.run([python, "-m", "pip", "config", "list"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    settings = dict(re.findall(r"^(?:global|install|:env:)\.([\w-]+)='(.*)'$", listed.stdout.decode(), re.MULTILINE))
    names = {
        "index-url": "UV_DEFAULT_INDEX",
        "find-links": "UV_FIND_LINKS",
        "cert": "SSL_CERT_FILE",
    }
    for theirs, ours in names.items():
        if settings.get(theirs):
            value = settings[theirs].replace("\\n", " ").strip()
            environment.setdefault(ours, ",".join(value.split()) if ours == "UV_FIND_LINKS" else value)
    return environment


def installed(python, environment):
    """Normalised name -> version of every package in the environment."""
    listed = run(
        [python, "-m", "uv", "pip", "list", "-q", "-p", python, "--format", "json"],
        env=environment,
        stdout=subprocess.PIPE,
    )
    return {re.sub(r"[-_.]+", "-", p["name"]).lower(): p["version"] for p in json.loads(listed.stdout.decode())}


def read(path):
    """A file's text, or nothing where there is no file."""
    if not os.path.exists(path):
        return ""
    with open(path) as f:
        return f.read()


def write(path, text):
    """Write a file of one or more lines."""
    with open(path, "w") as f:
        f.write(text + "\n")


def pins(path):
    """(package name, line) of every pin in the constraints file."""
    lines = [line.strip() for line in read(path).splitlines()]
    return [(line.split("=")[0].strip(), line) for line in lines if line and not line.startswith("#")]


def check_torch(python):
    """A torchvision from the index and a torch from elsewhere are of one version and still may not fit."""
    done = subprocess.run([python, "-c", "import torch, torchvision"], stderr=subprocess.PIPE)
    if done.returncode:
        said = done.stderr.decode().strip().splitlines()[-1]
        fail(
            "torch and torchvision do not fit each other (%s). Name a torchvision of the same build, too: "
            'make setup TORCH="torch==... torchvision==..." or two wheel files' % said
        )


def main():
    """Make or complete the environment, then write the stamp."""
    parser = argparse.ArgumentParser()
    parser.add_argument("environment", help=".venv, or the path of an existing environment's python")
    parser.add_argument("--torch", default="", help="another torch build, as arguments of `uv pip install`")
    parser.add_argument("--stamp", required=True)
    parser.add_argument("--constraints", default="constraints.txt")
    args = parser.parse_args()

    ours = args.environment == ".venv"
    if ours:
        python = make_venv(args.environment)
    else:
        python = shutil.which(args.environment) or fail("PYTHON=%s is not a program" % args.environment)
        version = version_of(python) or fail("PYTHON=%s does not start" % args.environment)
        if version < MINIMUM:
            fail("needs Python 3.11 or newer; PYTHON=%s is %d.%d" % ((args.environment,) + version))

    folder = os.path.dirname(args.stamp)
    if not os.path.isdir(folder):
        os.makedirs(folder)
    if os.path.exists(args.stamp):
        os.remove(args.stamp)  # an install that is cut off must not look like one that is done
    choice = args.stamp + ".torch"  # kept, so that a later change of the pins does not undo the choice
    torch = shlex.split(args.torch or read(choice))

    pin = dict(pins(args.constraints))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    if subprocess.run([python, "-m", "uv", "--version"], **quiet).returncode:
        run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", pin["uv"]])
    environment = pip_settings(python)
    uv = [python, "-m", "uv", "pip", "install", "-p", python]
    if torch:
        print("installing the torch build that was asked for: " + " ".join(torch), flush=True)
        run(uv + torch, env=environment)
        write(choice, " ".join(shlex.quote(t) for t in torch))

    present = installed(python, environment)
    lines = []
    for name, line in pins(args.constraints):
        if TORCH_FAMILY.match(name) and (torch or not ours and "torch" in present):
            continue  # pinned below to what is there
        if ours or name not in present:
            lines.append(line)
    if torch or not ours:
        lines += [name + "==" + v for name, v in present.items() if TORCH_FAMILY.match(name)]
    used = args.stamp + ".pins"
    write(used, "\n".join(lines))
    run(uv + ["-r", "pyproject.toml", "--group", "dev", "-c", used], env=environment)
    if ours:  # for `kpbench`, notebooks and workers that start elsewhere; setuptools is there already
        run(uv + ["--quiet", "--no-deps", "--no-build-isolation", "-e", "."], env=environment)

    if torch or not ours:
        check_torch(python)
    write(args.stamp, python)
    print("ready: %s" % python)


if __name__ == "__main__":
    main()
