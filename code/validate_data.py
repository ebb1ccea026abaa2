"""Check a data set before training on it: `--help` lists every key."""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

# What takes seconds to import is imported where it is used, after a first line was printed.
from core.command.mistakes import mistakes_in_one_line, run_command

CONFIG_DIR = str(Path(__file__).resolve().parents[1] / "config")


@hydra.main(version_base="1.3", config_path=CONFIG_DIR, config_name="validation_config")
def compose_and_validate(config: DictConfig) -> None:
    from core.running.data_validation import explain_key, run_validation

    with mistakes_in_one_line(explain_key):
        exit_code = run_validation(config)
    if exit_code:
        sys.exit(exit_code)


def main() -> None:
    from core.command.help_topics import show_topics
    from core.command.quoting import quoted
    from core.running.data_validation import fill_validation_store, help_on

    if show_topics(sys.argv[1:], help_on):
        return
    fill_validation_store()
    sys.argv[1:] = quoted(sys.argv[1:])
    compose_and_validate()


if __name__ == "__main__":
    run_command(main, "core.running.data_validation:explain_key", doing="validation of the data")
