"""Convert annotations (COCO, Pascal VOC, YOLO) to a data set that training reads."""

import argparse
from pathlib import Path

from core.command.mistakes import run_command
from core.command.terminal import show
from core.data.conversion.convert import ConversionOptions, convert


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "annotations",
        type=Path,
        help="a COCO file, a folder with the .xml files of VOC, or one with the .txt files of YOLO",
    )
    parser.add_argument(
        "--images", type=Path, required=True, metavar="DIR", help="folder of the annotated images"
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of the data set; the images are linked there, not copied",
    )
    parser.add_argument(
        "--class-names",
        metavar="A,B",
        help="classes in order; default: as the annotations name them",
    )
    parser.add_argument(
        "--boxes-as-masks", action="store_true", help="draw boxes as masks; default: labels only"
    )
    parser.add_argument("--force", action="store_true", help="replace a table that exists")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    given = parse(arguments)
    names = tuple(given.class_names.split(",")) if given.class_names else None
    options = ConversionOptions(given.output, names, given.boxes_as_masks, given.force)
    show(convert(given.annotations, given.images, options))


if __name__ == "__main__":
    run_command(main)
