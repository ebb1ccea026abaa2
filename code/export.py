"""Export the model of a finished experiment, for use without torch or without this project."""

import argparse
from pathlib import Path

from core.command.mistakes import run_command
from core.command.terminal import show
from core.experiments.finding import HOW_NAMED
from core.exporting import FORMAT_NAMES


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("experiment", type=Path, metavar="EXPERIMENT", help=HOW_NAMED)
    add(
        "--format",
        choices=FORMAT_NAMES,
        help="onnx: for code/predict.py without torch; torchscript: for torch.jit.load; "
        "openvino: needs that package; int8: ONNX in 8-bit integers, if that costs little",
    )
    add("--output", type=Path, metavar="FILE", help="default: model.SUFFIX in the experiment")
    bundle = "pack ONNX weights, config, thresholds, card and checksums into one file"
    add("--bundle", type=Path, metavar="model.zip", help=bundle)
    add("--force", action="store_true", help="replace files that are no export or bundle")
    latency = "measure one strip and a batch of 16 in each format; writes latency.json"
    add("--latency", action="store_true", help=latency)
    root = "data set with the strips to measure on; default: where training read them"
    add("--data-root", type=Path, metavar="DIR", help=root)
    options = parser.parse_args(arguments)
    if not (options.format or options.bundle or options.latency):
        parser.error("nothing to do: give --format, --bundle or --latency")
    if options.output and not options.format:
        parser.error("--output: give --format as well")
    return options


def main(arguments: list[str] | None = None) -> None:
    given = parse(arguments)
    # Imported here because it takes seconds.
    from benchmarks.latency_comparison import compare_latency
    from core.analysis.model_card import card_in
    from core.experiments.finding import find_experiment
    from core.exporting.exporting import export, pack
    from core.novelty.exporting import export_detector, is_detector

    folder, root, force = find_experiment(given.experiment), given.data_root, given.force
    if is_detector(folder):
        return show(f"Exported: {export_detector(folder, vars(given))}")
    if given.format:
        show(f"Exported: {export(folder, given.format, given.output, root, force)}")
    if given.bundle:
        show(f"Packed: {pack(folder, given.bundle, card_in(folder), root, force)}")
    if given.latency:
        show(f"Latency: {compare_latency(folder, root)}")


if __name__ == "__main__":
    run_command(main, doing="export")
