"""Continue an experiment's training in its own folder."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from core.command.config import TrainConfig
from core.data.split_file import Split, read_split
from core.errors import InputError
from core.experiments.environment import command_line, describe_environment
from core.experiments.folder import ExperimentFolder
from core.experiments.reading import read_results
from core.experiments.strips import SPLIT_FILE
from core.machine.device import choose_device
from core.machine.distributed import from_first, is_first, size
from core.models.parameters import without_weights
from core.predicting.building import no_larger_than
from core.running.autotuning import Chosen, remembered
from core.running.composition import UNLIMITED, build, run
from core.running.computation import Computation, applied, read_computation
from core.running.experiment_record import LoadedData
from core.running.loading import choose_split, read_data
from core.training.callbacks import Callback
from core.training.checkpoint import Checkpoints, FoundCheckpoint, restore

log = logging.getLogger(__name__)


def continue_training(
    config: TrainConfig,
    path: Path,
    *,
    data: LoadedData | None = None,
    split: Split | None = None,
    changed: Mapping[str, Any] | None = None,
    callbacks: Sequence[Callback] = (),
) -> dict[str, Any]:
    """Continue from the newest whole checkpoint in `path`, or start over if there is none.

    `data` is read if it is not given. The folder's own split is used; if `split` is given, it must
    be equal. Raises InputError where the data, the split or the checkpoints do not fit, or all
    checkpoints were removed.
    """
    data, checkpoints = data or read_data(config.data), Checkpoints(path / "checkpoints")

    def read() -> tuple[FoundCheckpoint, Split]:
        check_fingerprint(path, data, config)
        return newest_checkpoint(path), _own_split(config, data, path, split)

    found, own_split = from_first(read)
    # Weights come from the checkpoint; the initial weights' file may be gone.
    begun, built, limits = found.state is not None, config, UNLIMITED
    if begun:
        # The precision it began with: `auto` may choose another one on another device.
        precision = found.state.get("precision", config.runtime.precision)
        runtime = config.runtime.model_copy(update={"precision": precision})
        built = replace(config, model=without_weights(config.model), runtime=runtime)
        limits = _no_larger_than(found)
    chosen = recorded_computation(config, path) or from_first(lambda: remembered(config))
    if chosen:
        built = applied(built, chosen[0])
    setup = build(built, data, own_split, limits)
    setup = replace(setup, choice=chosen[1] if chosen else {})
    if begun:
        restore(setup.learner, found.state, found.file)
        from_first(lambda: checkpoints.mend(found))
    for problem in found.problems:
        log.warning("%s", problem)
    if is_first():
        _warn_of_another_machine(path, setup.learner.device)
    resumption = describe_resumption(changed or {}, found)
    log.info("Resuming %s from epoch %d, step %d", path, resumption["epoch"], resumption["step"])
    folder = ExperimentFolder.reopen(path, resumption)
    return run(config, setup, folder, found.state, callbacks)


def recorded_computation(config: TrainConfig, path: Path) -> Chosen | None:
    """What the experiment in `path` recorded, as far as this device can compute in it.

    None where it recorded nothing: it ended before its first step.
    """
    device = choose_device(config.runtime.device, config.runtime.num_threads)
    record = from_first(lambda: read_results(path)).get("computation") or {}
    computation = read_computation(record, Computation.of(config, device)) if record else None
    if computation is None:
        return None
    if (device.type, computation.precision) != ("cpu", "bfloat16"):
        computation = replace(computation, depthwise_gradient="torch")
    return computation, record.get("choice") or {}


@contextmanager
def _no_larger_than(found: FoundCheckpoint) -> Iterator[None]:
    """Build no network that the checkpoint could never fill: its options may come from a stranger.

    Raises InputError for such a network.
    """
    weights = found.state.get("model")
    try:
        with no_larger_than(weights if isinstance(weights, Mapping) else {}):
            yield
    except InputError as error:
        raise InputError(f"{found.file}: does not fit the config beside it: {error}") from None


def check_fingerprint(path: Path, data: LoadedData, config: TrainConfig) -> None:
    """Raise InputError where the experiment in `path` was begun with other images or labels."""
    known = read_results(path).get("data", {}).get("fingerprint")
    if known is not None and known != data.table.fingerprint():
        raise InputError(
            f"data.root={config.data.root}: is not the data set that {path} was begun with "
            "(its images, sizes or labels differ): give the same with data.root=DIR"
        )


def describe_resumption(
    changed: Mapping[str, Any], found: FoundCheckpoint | None = None
) -> dict[str, Any]:
    """The entries of `experiment.resumed_at` in addition to the time."""
    entry: dict[str, Any] = {"command": command_line(), "changed": dict(changed)}
    if found:
        state = found.state or {"history": [], "epoch_progress": None}
        begun = state["epoch_progress"]
        entry["epoch"] = len(state["history"]) + 1
        entry["step"] = begun["progress"]["step"] if begun else 0
        entry["checkpoint"] = found.file.name if found.file else None
        entry["problems"] = found.problems
    return entry


def newest_checkpoint(path: Path) -> FoundCheckpoint:
    """What the experiment in `path` continues from.

    Raises InputError where epochs were trained, and no file of them is left to continue from.
    """
    found = Checkpoints(path / "checkpoints").newest()
    if (history := read_results(path).get("history")) and not (found.file or found.problems):
        raise InputError(
            f"{path}: holds the results of {len(history)} epochs, which would be overwritten, but "
            "neither checkpoints/last.pt nor best.pt to go on from: give one back, or train anew"
        )
    return found


def _own_split(config: TrainConfig, data: LoadedData, path: Path, split: Split | None) -> Split:
    file = path / SPLIT_FILE
    if not file.is_file():
        if split is None and config.training.folds:
            raise InputError(
                f"{file}: is missing, and nothing else says which images this fold learned from: "
                "give it back, or train all folds anew"
            )
        return choose_split(config, data) if split is None else split
    own = read_split(file, data.table)
    if split and any(not np.array_equal(own[part], split[part]) for part in split):
        raise InputError(f"{file}: is not the split that this fold has now: train all folds anew")
    return own


def _warn_of_another_machine(path: Path, device: Any) -> None:
    """Warn about what may change the last digits of the figures."""
    results = read_results(path)
    was = results.get("environment")
    if not was:
        return
    now = describe_environment(device)
    changes = [
        f"{key} was {was.get(section, {}).get(key)}, is {now[section][key]}"
        for section, keys in {
            "hardware": ("device", "accelerator", "processor", "torch_threads"),
            "packages": ("torch", "timm", "albumentations", "opencv-python-headless"),
        }.items()
        for key in keys
        if was.get(section, {}).get(key) != now[section][key]
    ]
    devices = results.get("computation", {}).get("devices", 1)
    if devices != size():
        # Each process draws dropout for its own images.
        changes.append(f"devices was {devices}, is {size()}")
    if changes:
        log.warning("The last digits of the figures may differ: %s", "; ".join(changes))
