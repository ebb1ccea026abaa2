"""Learn a backbone from strips without labels: `python code/pretrain.py --help` lists every key."""

import sys
from functools import partial
from pathlib import Path

import hydra
from omegaconf import DictConfig

# What takes seconds to import is imported below, after a first line was printed.
from core.command.mistakes import mistakes_in_one_line, run_command, start_log
from core.command.sweep import Sweep

SWEEP = Sweep()
CONFIG_DIR = str(Path(__file__).resolve().parents[1] / "config")


@hydra.main(version_base="1.3", config_path=CONFIG_DIR, config_name="pretrain_config")
def compose_and_pretrain(config: DictConfig) -> None:
    from core.command.effects import check_effects
    from core.machine.distributed import from_first
    from core.pretraining.command import RESUME, check_config, find_pretraining, given_keys
    from core.pretraining.composition import pretrain
    from core.running.launched_place import as_launched
    from core.running.launching import launch

    start_log()  # where a launcher of Hydra's calls this in a process of its own
    with mistakes_in_one_line(), as_launched(), SWEEP.job():
        checked = check_config(config)
        check_effects(checked.data)
        work = partial(pretrain, checked)
        if config[RESUME] is not None:
            found = partial(find_pretraining, str(config[RESUME]), checked, given_keys())
            checked, work = from_first(found)
        launch(checked, work)


def main() -> None:
    from core.command.help_topics import show_topics
    from core.pretraining.command import fill_store, short_forms, topic

    if show_topics(sys.argv[1:], topic):
        return
    fill_store()
    sys.argv[1:] = short_forms(sys.argv[1:])
    compose_and_pretrain()
    SWEEP.finish()


if __name__ == "__main__":
    run_command(main, "core.pretraining.command:explain_key", doing="pretraining")
