"""Raise an alarm for strips that look unlike clean ones: `fit` learns, `score` decides."""

import argparse
import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from core.command.mistakes import mistakes_in_one_line, run_command, start_log
from core.command.sweep import Sweep
from core.experiments.finding import HOW_NAMED

SWEEP = Sweep()
CONFIG_DIR = str(Path(__file__).resolve().parents[1] / "config")


@hydra.main(version_base="1.3", config_path=CONFIG_DIR, config_name="novelty_config")
def compose_and_fit(config: DictConfig) -> None:
    from core.novelty.command import work_of
    from core.running.launched_place import as_launched
    from core.running.launching import launch

    start_log()  # where a launcher of Hydra's calls this in a process of its own
    with mistakes_in_one_line(), as_launched(), SWEEP.job():
        launch(*work_of(config))


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="novelty.py", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="fit|score")
    commands.add_parser("fit", help="learn from clean strips: fit --help lists every key=value")
    scoring = commands.add_parser("score", help="score, decision and place of each strip")
    scoring.add_argument("experiment", type=Path, metavar="EXPERIMENT", help=HOW_NAMED)
    scoring.add_argument("images", nargs="+", metavar="IMAGES", help="files, folders; -: stdin")
    scoring.add_argument("--output", type=Path, metavar="DIR", help="default: in EXPERIMENT")
    scoring.add_argument("--batch-size", type=int, default=8, help="default: %(default)s")
    given = parser.parse_args(arguments)
    if given.command == "score" and given.batch_size < 1:
        parser.error(f"--batch-size {given.batch_size}: expected 1 or more")
    return given


def main() -> None:
    if sys.argv[1:2] == ["fit"]:
        from core.novelty.command import prepare

        if prepare(sys.argv):
            compose_and_fit()
            SWEEP.finish()
        return
    given = parse(sys.argv[1:])
    from core.novelty.scoring import score_to_folder

    if score_to_folder(given.experiment, given.images, given.output, given.batch_size):
        sys.exit(1)


if __name__ == "__main__":
    run_command(main, "core.novelty.command:explain_key", doing="novelty detection")
