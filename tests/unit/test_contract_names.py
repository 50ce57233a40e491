"""`bench.contracts` is the one place that plug-ins import from: all that its files define, and nothing heavy with it."""

import importlib
import pkgutil
import subprocess
import sys

from bench import contracts
from bench.plugins import ROOT


def test_every_name_of_its_files_is_imported_from_the_package_itself():
    defined = set()
    for file in pkgutil.iter_modules(contracts.__path__, "bench.contracts."):
        module = importlib.import_module(file.name)
        own = {n for n, v in vars(module).items() if getattr(v, "__module__", None) == file.name}
        constants = {n for n, v in vars(module).items() if n.isupper() and isinstance(v, str)}
        defined |= {n for n in own | constants if not n.startswith("_")}
    assert defined == set(contracts.__all__)
    assert all(hasattr(contracts, name) for name in contracts.__all__)


def test_reading_the_contracts_needs_no_heavy_library():
    program = "import sys, bench.contracts; print({'torch', 'numpy', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stdout + done.stderr
