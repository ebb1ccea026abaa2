"""The `data` group of the configuration."""

import hashlib
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from core.data.images import BIT_DEPTHS, ImageFormat
from core.data.label_agreement import MissingMasks
from core.data.sampling import SamplerName
from core.data.split_checks import parse_strategy
from core.data.weak_supervision import NoiseKind
from core.files.names import check_class_names
from core.files.resizing import ResizeMode, check_area, size_rule
from core.files.user_cache import user_cache_folder
from core.validation import Settings

Pixels = Annotated[int, Field(ge=32, le=16384)]
Size = Annotated[tuple[Pixels, Pixels], AfterValidator(check_area)]


class DataSettings(Settings):
    """Where the strips are, how they are split and batched, and how synthetic ones are made."""

    source: Literal["severstal", "synthetic"] = Field(
        "severstal", description="severstal reads a data set; synthetic makes its own first"
    )
    root: Path = Field(
        default_factory=lambda data: Path("data") / data.get("source", "severstal"),
        description="folder with train.csv, ann/ or labels.csv and the images; by default "
        "data/severstal or data/synthetic",
    )
    class_names: tuple[str, ...] | None = Field(
        None, description="defect classes in order; null takes them from the source"
    )
    image_size: Size = Field((256, 1600), description="height and width of every image, in pixels")
    resize: Size | Literal["auto"] | None = Field(
        None,
        description="height and width to which images and masks are resized; auto: those of the "
        "median image, at most 102,400 pixels; null: nothing is resized, and image_size is the "
        "size of every image",
    )
    resize_mode: ResizeMode = Field(
        "stretch",
        description="stretch changes the proportions of an image to fill resize; letterbox keeps "
        "them, and pads with black",
    )
    channels: Literal[1, 3] = Field(
        1, description="1 reads images as grey, 3 in colour, for what is not steel"
    )
    bit_depth: Literal["auto", 8, 10, 12, 16] = Field(
        "auto",
        description="bits that hold the values of images with samples of 16 bits, for one scale of "
        "all; auto: those that hold the largest value; others are read as they are",
    )
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        8, description="images per step; auto: the most that fit into the memory of a CUDA device"
    )
    num_workers: Annotated[int, Field(ge=0, le=256)] | Literal["auto"] = Field(
        0,
        description="processes that read images ahead; 0 reads in the main one; auto: measured at "
        "the start of a training, 0 where reading takes no time worth saving",
    )
    sampler: SamplerName = Field(
        "natural",
        description="how training images are drawn: natural takes each once an epoch, balanced "
        "all classes and clean strips evenly, sqrt rare classes more often, by the root of "
        "their share",
    )
    cache: Literal["none", "memory", "disk"] = Field(
        "none",
        description="where decoded images are kept: disk, for all experiments and workers, takes "
        "one byte a pixel; memory is filled anew by each run",
    )
    cache_dir: Path | None = Field(
        None,
        description="where decoded images and the duplicate search's hashes are kept; null: a "
        "folder of the data set in $XDG_CACHE_HOME/steel_defects, else ~/.cache/steel_defects",
    )
    split_strategy: str = Field(
        "stratified_70_15_15",
        description="how images are split: stratified by label set, in these percentages for "
        "training, validation and test, which may be others; or file",
    )
    split_file: Path | None = Field(
        None, description="CSV with image_id,split, read with split_strategy=file"
    )
    on_bad_image: Literal["error", "skip"] = Field(
        "error",
        description="error stops at an image that cannot be decoded; skip leaves such images out "
        "before the split and lists them in results.json",
    )
    missing_masks: MissingMasks = Field(
        "error",
        description="labels of a labels.csv without a mask in train.csv or ann/: error stops at "
        "them; ignore trains such images on their labels alone, and lists them in results.json",
    )
    unused_masks: tuple[str, ...] = Field(
        (),
        description="ids of images whose masks are not used, such as boxes around defects: they "
        "are trained on their labels alone",
    )
    corrections: Path | None = Field(
        None,
        description="decisions of a review that replace labels: its store, or the table that "
        "code/corrections.py export wrote; the files of the data set stay as they are",
    )
    group_duplicates: bool = Field(
        True, description="find near-duplicate strips and keep each group of them in one part"
    )
    num_images: int = Field(
        1000, ge=1, le=1_000_000, description="strips that source=synthetic makes"
    )
    class_shares: Literal["natural", "flat"] | tuple[float, ...] = Field(
        "natural",
        description="share of synthetic strips that show each class: natural as in the real "
        "strips, flat alike for all, or one number per class",
    )
    generation_seed: int = Field(
        42, ge=0, description="seed of the synthetic strips, and of label_noise"
    )
    mask_fraction: float = Field(
        1.0,
        ge=0,
        le=1,
        description="share of the training images whose masks are used, by mask_loss and by "
        "augmentation",
    )
    label_noise: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="share of images with one label flipped on purpose, listed in "
        "flipped_labels.csv, their masks unused: a rehearsal of the search for label errors "
        "(training.folds)",
    )
    label_noise_kind: NoiseKind = Field(
        "uniform",
        description="which labels label_noise makes wrong: uniform flips any; missing drops one "
        "that the image shows; borderline drops those with the smallest masks of their class",
    )

    @property
    def cache_folder(self) -> Path:
        """`cache_dir`, or the folder of this data set in the user's cache folder."""
        root = self.root.resolve()  # `.` and `..` have no name
        place = hashlib.sha256(os.fsencode(root)).hexdigest()[:8]
        return self.cache_dir or user_cache_folder() / f"{root.name}_{place}"

    @property
    def workers(self) -> int:
        """`num_workers`; none where it is to be measured and was not."""
        return 0 if self.num_workers == "auto" else self.num_workers

    @property
    def image_format(self) -> ImageFormat:
        """How images are read; with `bit_depth` not settled yet, those of 16 bits are refused."""
        depth = min(BIT_DEPTHS) if self.bit_depth == "auto" else self.bit_depth
        if self.resize == "auto":
            raise ValueError("data.resize=auto has to be settled before images are read")
        size = size_rule(self.resize or self.image_size, self.resize_mode if self.resize else None)
        return ImageFormat(size, self.channels, depth)

    def without_effect(self) -> dict[str, str]:
        """The keys with a value of their own that do nothing beside the other ones, and why."""
        found = {}
        if self.source != "synthetic":
            synthetic = "has an effect with data.source=synthetic only"
            found |= dict.fromkeys(("num_images", "class_shares"), synthetic)
            if not self.label_noise:
                found["generation_seed"] = f"{synthetic}, or with data.label_noise=SHARE"
            if self.resize:
                found["image_size"] = "has no effect, since data.resize takes images of any size"
        fields = type(self).model_fields
        return {key: why for key, why in found.items() if getattr(self, key) != fields[key].default}

    @field_validator("image_size", "resize", mode="before")
    @classmethod
    def _two_sides(cls, value: Any, info: ValidationInfo) -> Any:
        sides = list(value) if isinstance(value, (list, tuple)) else re.findall(r"\d+", str(value))
        is_auto = value == "auto" and info.field_name == "resize"
        if value is None or is_auto or (isinstance(value, (list, tuple)) and len(sides) == 2):
            return value
        guess = ",".join(map(str, (sides * 2)[:2] or (256, 1600)))
        raise ValueError(f"expected height and width, such as data.{info.field_name}=[{guess}]")

    @field_validator("resize_mode")
    @classmethod
    def _with_resize(cls, mode: str, info: ValidationInfo) -> str:
        if mode != "stretch" and not info.data.get("resize"):
            raise ValueError("has an effect with data.resize=[HEIGHT,WIDTH] only: give it as well")
        return mode

    @field_validator("label_noise_kind")
    @classmethod
    def _with_noise(cls, kind: str, info: ValidationInfo) -> str:
        if kind != "uniform" and not info.data.get("label_noise"):
            raise ValueError("has an effect with data.label_noise=SHARE only: give it as well")
        return kind

    @field_validator("split_strategy")
    @classmethod
    def _known_strategy(cls, strategy: str) -> str:
        parse_strategy(strategy)
        return strategy

    @field_validator("class_names")
    @classmethod
    def _usable_names(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if names is None else check_class_names(names, "classes")

    @field_validator("class_shares")
    @classmethod
    def _within_one(cls, shares: str | tuple[float, ...]) -> str | tuple[float, ...]:
        if not isinstance(shares, str) and not (shares and all(0 <= s <= 1 for s in shares)):
            raise ValueError("expected natural, flat, or one number from 0 to 1 per class")
        return shares
