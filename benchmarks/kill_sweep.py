"""Kill a sweep or its workers with SIGKILL at random moments: is a finished run ever lost?

Run ``python benchmarks/kill_sweep.py --trials 50``; it prints one line per trial and a summary.
Trials kill the parent and the workers in turn.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from scaling_laws import read_log

RUNS = 12
WORKERS = 2
PARENT = """
import sys
from pathlib import Path
import scaling_laws as sl

def make(directory):
    def train(index):
        import os, time
        here = os.path.join(directory, f"{index}-{os.getpid()}")
        open(here + ".begun", "w").close()
        time.sleep(0.03)
        open(here + ".ended", "w").close()
        return index / 3
    return train

directory = sys.argv[1]
sl.sweep(make(directory), sl.grid(index=range(int(sys.argv[2]))), workers=int(sys.argv[3]),
         log=Path(directory) / "runs.jsonl", retries=int(sys.argv[4]))
"""


def start(directory: Path, retries: int = 0) -> subprocess.Popen[bytes]:
    """Start the sweep as its own process, which the trial may kill."""
    return subprocess.Popen(
        [sys.executable, "-c", PARENT, str(directory), str(RUNS), str(WORKERS), str(retries)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )


def indices(directory: Path, kind: str) -> list[int]:
    """Runs that left a mark of this kind, one entry per attempt."""
    return [int(path.name.split("-")[0]) for path in directory.glob(f"*.{kind}")]


def logged(directory: Path) -> list[int]:
    """Finished runs the log holds."""
    log = directory / "runs.jsonl"
    return read_log(log)["index"].tolist() if log.exists() and log.stat().st_size else []


def orphans(directory: Path, patience: float = 5.0) -> list[int]:
    """Children still alive some time after their parent died."""
    children = {int(path.stem.split("-")[1]) for path in directory.glob("*.begun")}
    until = time.monotonic() + patience
    while children := {child for child in children if is_alive(child)}:
        if time.monotonic() > until:
            break
        time.sleep(0.02)
    return sorted(children)


def is_alive(process: int) -> bool:
    """Whether a process exists and has not ended."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def trial(directory: Path, after: int, delay: float) -> dict[str, int]:
    """Kill the sweep ``delay`` seconds after ``after`` runs are logged; then finish it."""
    parent = start(directory)
    log = directory / "runs.jsonl"
    while parent.poll() is None and (not log.exists() or log.read_bytes().count(b"\n") < after):
        time.sleep(0.002)
    time.sleep(delay)
    seen = {line for line in log.read_bytes().split(b"\n")[:-1] if line}
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    left = len(orphans(directory))
    kept = logged(directory)
    ended = indices(directory, "ended")
    lost = len(seen - set(log.read_bytes().split(b"\n")))
    begun = len(indices(directory, "begun"))
    done_again = start(directory)
    code = done_again.wait()
    final = logged(directory)
    return {
        "exit_code": code,
        "logged": len(kept),
        "lost": lost,
        "in_flight": len(set(ended) - set(kept)),
        "orphans": left,
        "rerun": len(indices(directory, "begun")) - begun,
        "repeated": len(final) - len(set(final)),
        "absent": RUNS - len(set(final)),
    }


def is_sound(outcome: dict[str, int]) -> bool:
    """Nothing lost, nobody left behind, and only what was missing done again."""
    zeros = ("exit_code", "lost", "orphans", "repeated", "absent")
    return (
        all(outcome[name] == 0 for name in zeros)
        and outcome["in_flight"] <= WORKERS
        and outcome["rerun"] == RUNS - outcome["logged"]
    )


def worker_trial(directory: Path, kills: int, rng: random.Random) -> dict[str, int]:
    """Kill children of a sweep that tries again; it has to end by itself with every run."""
    parent = start(directory, retries=kills)
    killed: set[int] = set()
    while parent.poll() is None and len(killed) < kills:
        time.sleep(rng.uniform(0, 0.05))
        begun = {int(path.stem.split("-")[1]) for path in directory.glob("*.begun")}
        running = sorted(child for child in begun - killed if is_alive(child))
        if running:
            child = rng.choice(running)
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            killed.add(child)
    code = parent.wait()
    table = read_log(directory / "runs.jsonl")
    finished = table["index"][table["status"] == "ok"].tolist()
    begun_again = len(indices(directory, "begun")) - len(table)
    return {
        "exit_code": code,
        "killed": int((table["status"] == "killed").sum()),
        "torn": len(table.attrs["torn_lines"]),
        "orphans": len(orphans(directory)),
        "unaccounted": begun_again,
        "repeated": len(finished) - len(set(finished)),
        "absent": RUNS - len(set(finished)),
    }


def is_sound_without_workers(outcome: dict[str, int], kills: int) -> bool:
    """Every run finished once, each attempt is in the log, and no more were lost than killed."""
    zeros = ("exit_code", "torn", "orphans", "unaccounted", "repeated", "absent")
    return all(outcome[name] == 0 for name in zeros) and outcome["killed"] <= kills


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    sound = 0
    for number in range(options.trials):
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            if number % 2:
                kills = rng.randint(1, 8)
                outcome = worker_trial(directory, kills, rng)
                passed = is_sound_without_workers(outcome, kills)
            else:
                outcome = trial(directory, rng.randrange(RUNS), rng.uniform(0, 0.1))
                passed = is_sound(outcome)
        sound += passed
        print(number, "worker" if number % 2 else "parent", passed, outcome, flush=True)
    print(f"{sound} of {options.trials} trials lost nothing, left no child, repeated nothing")


if __name__ == "__main__":
    main()
