"""Cold import times: a fresh interpreter for every round.

Run with ``pytest benchmarks/test_imports.py``. Every time includes the start of the interpreter,
measured by itself under "interpreter alone"; the other references are what any table or fit needs
whoever asks for it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pytest_benchmark")

ROOT = Path(__file__).parents[1]
PROGRAMS = {
    "interpreter alone": "pass",
    "scaling_laws": "import scaling_laws",
    "published plan": (
        "import scaling_laws as sl; sl.Planner(sl.published.HOFFMANN_2022).for_budget(flops=1e24)"
    ),
    "fitter": "import scaling_laws.fitting.fitter",
    "numpy": "import numpy",
    "numpy and pandas": "import numpy, pandas",
    "lmfit": "import lmfit",
}


def start(program):
    """Run the program; return the processor seconds of its process."""
    before = os.times()
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
    after = os.times()
    user, system = (after[i] - before[i] for i in (2, 3))  # of children that ended
    return user + system


@pytest.mark.parametrize("program", PROGRAMS)
def test_cold_import(benchmark, program):
    benchmark.pedantic(start, (PROGRAMS[program],), warmup_rounds=1, rounds=9)
    if benchmark.stats is not None:
        used = [start(PROGRAMS[program]) for _ in range(3)]
        benchmark.extra_info["processor_seconds"] = min(used)
