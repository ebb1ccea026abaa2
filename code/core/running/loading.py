"""Read the label table, split it, and load batches of its strips."""

import logging
import os
from pathlib import Path

from torch import nn
from torch.utils.data import DataLoader

from core.augmentation.pipelines import AugmentationPipeline
from core.command.config import TrainConfig
from core.data.annotations import read_label_table
from core.data.bit_depth import find_bit_depth
from core.data.corrections import corrected
from core.data.dataset import StripDataset
from core.data.duplicate_groups import duplicate_groups
from core.data.duplicates import find_duplicate_pairs, kept_descriptors, warn_of_large_group
from core.data.fitting_size import fitting_size
from core.data.image_cache import open_images
from core.data.image_folder import images_below
from core.data.label_agreement import without_masks_of
from core.data.label_table import LabelTable
from core.data.loaders import make_loader
from core.data.sampling import BatchShard, image_weights
from core.data.settings import DataSettings
from core.data.sources import find_sources, image_folder, sources_in
from core.data.split_file import Split
from core.data.splitting import split_by_strategy
from core.data.weak_supervision import flip_labels
from core.errors import InputError
from core.machine.device import choose_device
from core.machine.distributed import first_before_others, rank, size
from core.review.overlay import read_corrections
from core.running.device_augmentation import AugmentedOnDevice, augments_on_device
from core.running.experiment_record import LoadedData
from core.running.mask_supervision import mask_request
from core.synthetic.generator import StripSettings
from core.synthetic.store import ensure_strips

log = logging.getLogger(__name__)


def read_data(data: DataSettings) -> LoadedData:
    """The label table, images and near-duplicates. Raises InputError for an invalid data set."""
    log.info("Reading the strips in %s", data.root)
    with first_before_others():
        table, pairs = read_table(data), []
        bit_depth = find_bit_depth(table.image_paths, data.bit_depth, data.image_format.image_size)
        data = data.model_copy(update={"bit_depth": bit_depth})
        if data.group_duplicates:
            kept = kept_descriptors(table.image_paths, data.image_format, data.cache_folder)
            pairs = find_duplicate_pairs(kept)
        if pairs:
            kept = "" if data.split_strategy == "file" else ", each kept in one part"
            log.info("%d pairs of near-duplicate strips%s", len(pairs), kept)
            warn_of_large_group(duplicate_groups(len(table), pairs))
        images = open_images(table.image_paths, data)
    return LoadedData(table, pairs, images, data.image_format)


def with_image_size(data: DataSettings) -> DataSettings:
    """The settings with `data.resize=auto` replaced by a height and width that fit the images.

    Raises InputError where there is no data set, or no image with a readable header.
    """
    if data.resize != "auto":
        return data
    with first_before_others():
        root = find_root(data)
        size = fitting_size(images_below(image_folder(root, find_sources(root)[0])))
    log.info("data.resize=auto: images are resized to [%d,%d], height and width", *size)
    return data.model_copy(update={"resize": size})


def choose_split(config: TrainConfig, data: LoadedData) -> Split:
    """The split that `data.split_strategy` names, with near-duplicates kept together."""
    return split_by_strategy(
        data.table,
        config.data.split_strategy,
        config.experiment.seed,
        config.data.split_file,
        groups=data.groups,
    )


def read_table(data: DataSettings) -> LabelTable:
    """The label table of `data.root`, with `data.label_noise`, and then `data.corrections`."""
    size = data.image_format.image_size
    table = read_label_table(
        find_root(data), data.class_names, size, data.on_bad_image, data.missing_masks
    )
    table = without_masks_of(table, data.unused_masks)
    table = flip_labels(table, data.label_noise, data.generation_seed, data.label_noise_kind)
    if data.corrections is None:
        return table
    return corrected(table, read_corrections(data.corrections))


def find_root(data: DataSettings) -> Path:
    """The folder of the data set; synthetic strips are generated there first.

    Raises InputError where they would be written into another data set.
    """
    if data.source != "synthetic":
        return data.root
    if found := sources_in(data.root):
        raise InputError(
            f"data.root={data.root}: holds a data set ({', '.join(found)}), and data.source="
            "synthetic would write strips into it: give another folder, such as data/synthetic"
        )
    settings = StripSettings(
        data.num_images, data.image_size, data.class_shares, data.generation_seed
    )
    # A process takes seconds to start: use one per few hundred strips.
    num_workers = max(1, min(os.cpu_count() or 1, data.num_images // 250))
    return ensure_strips(data.root, settings, num_workers)


def build_loaders(
    config: TrainConfig,
    data: LoadedData,
    split: Split,
    pipeline: AugmentationPipeline,
    mask_loss: nn.Module | None = None,
) -> dict[str, DataLoader]:
    """A loader per part of the split; only the training part is shuffled and augmented."""
    settings, seed = config.data, config.experiment.seed
    device = choose_device(config.runtime.device, config.runtime.num_threads)
    weights = image_weights(data.table.labels[split["train"]], settings.sampler)
    on_device = augments_on_device(config, pipeline, mask_loss, device)

    def loader(part: str, training: bool) -> DataLoader:
        masks = mask_request(config, data.table, mask_loss, split["train"] if training else None)
        # Without a transform, whole batches are read at once.
        transform = pipeline if training and not pipeline.is_empty else None
        finish = None
        if training and on_device:
            finish = AugmentedOnDevice(pipeline, masks, device)
            transform, masks = finish.transform, finish.masks
        dataset = StripDataset(
            data.table,
            split[part],
            settings.image_format.size,
            transform=transform,
            masks=masks,
            channels=settings.channels,
            images=data.images,
            shard=BatchShard(rank(), size()) if size() > 1 else None,
            batch_transform=pipeline.batch_transform if training else None,
        )
        made = make_loader(
            dataset,
            settings.batch_size,
            seed=seed,
            shuffle=training,
            weights=weights if training else None,
            num_workers=settings.workers,
            pin_memory=device.type == "cuda",
        )
        if finish is not None:
            made.finish = finish
        return made

    loaders = {part: loader(part, training=part == "train") for part in split}
    if config.training.evaluate_train_part:
        loaders["train_evaluation"] = loader("train", training=False)
    return loaders
