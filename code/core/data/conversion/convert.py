"""The conversion of annotations of any known format, and the line that says what came out."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from core.data.conversion.annotated import Annotations, ImageFiles
from core.data.conversion.coco import read_coco
from core.data.conversion.voc import read_voc
from core.data.conversion.writing import has_masks, write_data_set
from core.data.conversion.yolo import read_yolo
from core.errors import InputError

_ENDINGS = {".xml": read_voc, ".txt": read_yolo}


@dataclass(frozen=True)
class ConversionOptions:
    """Where to write, what the classes are called, and whether boxes become masks."""

    output: Path
    class_names: tuple[str, ...] | None = None
    boxes_as_masks: bool = False
    force: bool = False


def convert(source: Path, images: Path, options: ConversionOptions) -> str:
    """Convert the annotations in `source` of the images in `images`; returns a summary.

    A JSON file is COCO, a folder of XML files VOC, and a folder of text files YOLO.

    Raises:
        InputError: none of these, or as for the readers and the writer.
    """
    files = ImageFiles(images)
    annotations = _read(source, files, options.class_names)
    if not annotations.images:
        raise InputError(f"{source}: annotates no image; expected at least one")
    masks = has_masks(annotations, options.boxes_as_masks)
    table = write_data_set(annotations, options.output, masks, options.force)
    return _summary(annotations, table, len(files.paths) - len(annotations.images))


def _read(source: Path, files: ImageFiles, class_names: tuple[str, ...] | None) -> Annotations:
    if source.is_file():
        if class_names:
            raise InputError("--class-names: a COCO file names its classes itself: leave it out")
        return read_coco(source, files)
    if not source.is_dir():
        raise InputError(f"{source}: does not exist; expected a COCO file, or a folder of labels")
    endings = Counter(path.suffix.lower() for path in source.iterdir())
    found = [ending for ending in _ENDINGS if endings[ending]]
    if len(found) != 1:
        what = "both .xml and .txt files" if found else "neither .xml nor .txt files"
        raise InputError(
            f"{source}: holds {what}; expected the .xml files of VOC, or the .txt files of YOLO"
        )
    return _ENDINGS[found[0]](source, files, class_names)


def _summary(annotations: Annotations, table: Path, num_left_out: int) -> str:
    counts = Counter(c for image in annotations.images for c in {o.category for o in image.objects})
    classes = ", ".join(f"{name} {counts[c]}" for c, name in enumerate(annotations.class_names))
    clean = sum(not image.objects for image in annotations.images)
    lines = [f"{table}: {_images(len(annotations.images))}, {classes}, clean {clean}"]
    if num_left_out:
        lines.append(f"Left out: {_images(num_left_out)} without annotations")
    sizes = {image.size for image in annotations.images}
    if len(sizes) > 1:
        lines.append(f"The images have {len(sizes)} sizes")
    height, width = annotations.images[0].size
    lines.append(
        f"Next: python code/validate_data.py data.root={table.parent} "
        f"'data.image_size=[{height},{width}]'"
    )
    return "\n".join(lines)


def _images(number: int) -> str:
    return f"{number} image{'' if number == 1 else 's'}"
