"""Stands for `train.py` in tests of the queue: a folder, a lock, a status, and no training.

`python fake_training.py RESULTS_DIR [ends|fails|loops|stubborn] [resume=FOLDER]`, where the second
word may also be `experiment.name=ends` and so on, among others.
"""

import json
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "code"))

from core.experiments.lock import run_lock


def write(folder: Path, status: str) -> None:
    content = {"schema_version": 1, "status": status, "experiment": {"name": folder.name}}
    content["environment"] = {"visible": os.environ.get("CUDA_VISIBLE_DEVICES", "all")}
    (folder / "new.json").write_text(json.dumps(content))
    (folder / "new.json").replace(folder / "results.json")


def sleep_forever() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    time.sleep(600)


def main() -> None:
    results_dir, *rest = sys.argv[1:]
    words = [word.removeprefix("experiment.name=") for word in rest]
    how = next((word for word in words if word in ("fails", "loops", "stubborn")), "ends")
    if how == "fails":
        sys.exit("error: training.num_epochs=0: expected more")
    resumed = [word.removeprefix("resume=") for word in rest if word.startswith("resume=")]
    folder = Path(resumed[0]) if resumed else Path(results_dir, f"fake_{os.getpid()}")
    folder.mkdir(parents=True, exist_ok=True)
    with run_lock(folder):
        print(f"Experiment {folder}", flush=True)
        write(folder, "running")
        if how == "stubborn":
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            multiprocessing.get_context("fork").Process(target=sleep_forever).start()
        try:
            while how != "ends":
                time.sleep(0.02)
            write(folder, "completed")
        except KeyboardInterrupt:
            write(folder, "interrupted")
            print("Interrupted", flush=True)
            sys.exit(130)


if __name__ == "__main__":
    main()
