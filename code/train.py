"""Train a defect classifier: `python code/train.py --help` lists every key."""

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


@hydra.main(version_base="1.3", config_path=CONFIG_DIR, config_name="train_config")
def compose_and_train(config: DictConfig) -> None:
    from core.command.config import RESUME
    from core.command.effects import check_command
    from core.running.launched_place import as_launched

    start_log()  # where a launcher of Hydra's calls this in a process of its own
    with mistakes_in_one_line(), as_launched(), SWEEP.job():
        checked = check_command(config)
        from core.command.given_values import given_values  # from here on, importing takes seconds
        from core.machine.distributed import from_first
        from core.running.early_checks import checked_training
        from core.running.launching import launch
        from core.running.resuming import find_training

        if config[RESUME] is not None:
            results_dir, given = Path(checked.experiment.results_dir), given_values(config)
            found = partial(find_training, str(config[RESUME]), given, results_dir)
            checked, work = from_first(found)
        else:
            work = checked_training(checked)
        launch(checked, work)


def main() -> None:
    from core.command.choosers import short_forms
    from core.command.config import fill_config_store
    from core.command.help import store_help
    from core.command.help_topics import show_topics, train_topic

    if show_topics(sys.argv[1:], train_topic):
        return
    fill_config_store()
    store_help()
    sys.argv[1:] = short_forms(sys.argv[1:])
    compose_and_train()
    SWEEP.finish()


if __name__ == "__main__":
    run_command(main, "core.command.config:explain_override", doing="training")
