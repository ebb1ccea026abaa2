"""`resume=`: go on with a detector whose training was interrupted."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.experiments.folder import ExperimentFolder
from core.experiments.reading import read_results
from core.experiments.schema import NOVELTY
from core.files.reading import read_yaml
from core.machine.distributed import from_first
from core.novelty.composition import build, run
from core.novelty.detectors import get_registry
from core.novelty.settings import NoveltyConfig, check_values
from core.running.continuation import describe_resumption, newest_checkpoint
from core.running.resuming import CONFIG_FILE, checked_changes, find_resumed, with_values
from core.training.checkpoint import Checkpoints, restore

log = logging.getLogger(__name__)


def find_fit(
    wanted: str, composed: NoveltyConfig, given: Iterable[str]
) -> tuple[NoveltyConfig, Callable[[], dict[str, Any]]]:
    """The config of the detector that `resume=` names, and a function that continues its training.

    `given` are the keys of the command line, whose values stand in `composed`. Raises InputError
    where there is none, nothing is left to do, or a value would change its result.
    """
    path = find_resumed(wanted, Path(composed.experiment.results_dir), kind=NOVELTY)
    content = read_yaml(path / CONFIG_FILE)
    if "detector" not in content:
        raise InputError(f"resume={path}: is no detector: give the command that began it")
    own = check_values(content)
    name = own.detector["name"]
    if not get_registry().get(name).learned_by_gradient:
        raise InputError(
            f"resume={path}: its detector {name} is fitted in one piece: fit it again, without "
            "resume"
        )
    changed = checked_changes(
        path, own.resolved(), composed.resolved(), given, free=["data.unlabelled"]
    )
    config = check_values(with_values(own.resolved(), changed))
    return config, partial(continue_fit, config, path, changed)


def continue_fit(config: NoveltyConfig, path: Path, changed: Mapping[str, Any]) -> dict[str, Any]:
    """Continue in `path` from its newest whole checkpoint, or start over if there is none.

    Raises InputError where the strips are others, or the checkpoints do not fit.
    """
    checkpoints = Checkpoints(path / "checkpoints")
    found, built = from_first(lambda: newest_checkpoint(path)), config
    if found.state is not None:
        # The precision it began with: `auto` may choose another one on another device.
        precision = found.state.get("precision", config.runtime.precision)
        runtime = config.runtime.model_copy(update={"precision": precision})
        own = get_registry().instantiate(config.detector["name"], **config.params).rebuilt_by()
        built = replace(config, detector={**config.detector, **own}, runtime=runtime)
    setup = build(built)
    known = read_results(path).get("data", {}).get("fingerprint")
    if known not in (None, setup.chosen.about["fingerprint"]):
        raise InputError(
            f"resume={path}: was begun with other strips than those of "
            f"{setup.chosen.about['source']}: give the same"
        )
    if found.state is not None:
        restore(setup.learning.learner, found.state, found.file)
        from_first(lambda: checkpoints.mend(found))
    for problem in found.problems:
        log.warning("%s", problem)
    resumption = describe_resumption(changed, found)
    log.info("Resuming %s from epoch %d, step %d", path, resumption["epoch"], resumption["step"])
    return run(config, setup, ExperimentFolder.reopen(path, resumption), found.state)
