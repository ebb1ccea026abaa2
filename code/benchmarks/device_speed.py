"""Strips a second on a device: training and inference, batch by batch, and with data."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.cuda_checks import free_memory
from benchmarks.device_steps import our_forward, our_step, timm_step, training_config
from benchmarks.options import Options
from benchmarks.workload import training
from core.command.config import TrainConfig
from core.running.out_of_memory import is_out_of_memory
from core.training.epoch_progress import EpochProgress
from core.training.trainer import train_epoch

Row = dict[str, Any]
SECONDS_PER_ROW = 2.0
WORKERS = 4
_WARM_UP = 3
# Strips a second of convnext_tiny_cbam with strips of 256x1600 in bfloat16 that an H200 could
# compute at most, each kernel being bound by its arithmetic or its memory; and its operations.
_ROOFLINE = {"training": 1280, "inference": 3526}
_GFLOP = {"training": 218.4, "inference": 72.8}
_GOALS = (0.6, 0.8)


def strips_a_second(step: Callable[[], object], strips: int, device: torch.device) -> float:
    """Of a step that is repeated for at least `SECONDS_PER_ROW`."""
    for _ in range(_WARM_UP if device.type == "cuda" else 1):
        step()
    wait_for(device)
    started, done, more = time.perf_counter(), 0, 2
    while True:
        for _ in range(more):
            step()
        done += more
        # Ever more rarely, since the device has nothing to do while Python starts again.
        wait_for(device)
        seconds = time.perf_counter() - started
        if seconds >= SECONDS_PER_ROW:
            return done * strips / seconds
        more = done


def wait_for(device: torch.device) -> None:
    """Return when the device has done all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measured(row: Row, make: Callable[[], Callable[[], object]], options: Options) -> Row:
    """The row with strips a second, share of the roofline, and GiB of the device's memory."""
    device = options.device
    free_memory(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        speed = strips_a_second(make(), row["batch_size"], device)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return {**row, "outcome": "memory ended"}
    row = {**row, "strips_per_second": speed, **shares(row["job"], speed, options)}
    if device.type == "cuda":
        row["memory_gib"] = torch.cuda.max_memory_allocated(device) / 2**30
    return row


def shares(job: str, speed: float, options: Options) -> Row:
    """TFLOP/s and the share of an H200's roofline, for the network and size they are known of."""
    if options.model != "convnext_tiny_cbam" or tuple(options.image_size) != (256, 1600):
        return {}
    found: Row = {"tflops": speed * _GFLOP[job] / 1000}
    on_gpu = options.device.type == "cuda"
    if on_gpu and "H200" in torch.cuda.get_device_name(options.device):
        share = speed / _ROOFLINE[job]
        found |= {"share_of_roofline": share}
        found |= {f"reaches_{goal}_of_roofline": share >= goal for goal in _GOALS}
    return found


def batches_until_memory_ends(options: Options, folder: Path) -> Iterator[Row]:
    """Training and inference, eager, in doubled batches; timm's loop in the fastest of them."""
    best: dict[str, int] = {}
    for job, make in (("training", our_step), ("inference", our_forward)):
        fastest, size = 0.0, options.batch_size
        while True:
            row = {"job": job, "way": "eager", "batch_size": size}
            row = measured(row, partial(make, options, folder, size), options)
            yield row
            speed = row.get("strips_per_second", 0)
            if speed > fastest:
                fastest, best[job] = speed, size
            # On a CPU, the system would end the process where memory ends.
            if "outcome" in row or (options.device.type == "cpu" and size > options.batch_size):
                break
            size *= 2
    for name, is_mixed in (("timm's loop, float32", False), ("timm's loop, --amp", True)):
        size = best.get("training", options.batch_size)
        row = {"job": "training", "way": name, "batch_size": size}
        # Float32 takes twice the memory of bfloat16.
        for smaller in (size, size // 2):
            row["batch_size"] = max(1, smaller)
            found = measured(row, partial(timm_step, options, row["batch_size"], is_mixed), options)
            yield found
            if "outcome" not in found:
                break


def compiled(options: Options, folder: Path) -> Iterator[Row]:
    """Inference and training with torch.compile, in a batch of twice the first size."""
    size = 2 * options.batch_size
    for job, make in (("inference", our_forward), ("training", our_step)):
        row = {"job": job, "way": "compiled", "batch_size": size}
        yield measured(row, partial(make, options, folder, size, compile=True), options)


def with_data(options: Options, folder: Path) -> Iterator[Row]:
    """Training from the data set: on the device, and through the loader in several ways."""
    light = ("augmentation.horizontal_flip=true", "augmentation.vertical_flip=true")
    light += ("augmentation.brightness_contrast=true",)
    usual = (*light, "augmentation.rotation=true", "augmentation.gaussian_blur=true")
    loader, workers = ("data.num_workers=0",), (f"data.num_workers={WORKERS}",)
    ways = {
        "data set on the device": (),
        "loader, no augmentation": loader,
        "loader, light on the device": (*loader, *light),
        "loader, light on the CPU": (*loader, *light, "runtime.augment_on_device=false"),
        "loader, usual": (*loader, *usual),
        f"{WORKERS} workers, usual": (*workers, *usual),
    }
    for name, given in ways.items():
        free_memory(options.device)
        config = training_config(options, folder, 2 * options.batch_size, *given)
        yield {"job": "training", "way": name, **_epochs(config, on_device=not given)}


def _epochs(config: TrainConfig, on_device: bool) -> Row:
    """Whole epochs for `SECONDS_PER_ROW`, after one that is not counted."""
    setup = training(config)
    learner, task = setup.learner, setup.task
    batches: Any = task.train_batches
    held = [_moved(batch, learner.device) for batch in batches] if on_device else None
    waited = seconds = strips = 0.0
    epoch = 0
    while seconds < SECONDS_PER_ROW:
        epoch += 1
        task.begin_epoch(epoch)
        batches.set_epoch(epoch)
        progress = EpochProgress(epoch, learner.learning_rate)
        report = train_epoch(learner, task, held if on_device else batches, progress)
        if epoch > 1:
            waited += report["data_wait_share"] * report["duration_seconds"]
            seconds += report["duration_seconds"]
            strips += progress.num_images
    speed = {"strips_per_second": strips / seconds, "data_wait_share": waited / seconds}
    return {"batch_size": config.data.batch_size, **speed}


def _moved(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    moved = dict(batch)
    for key, value in batch.items():
        if isinstance(value, torch.Tensor):
            moved[key] = value.to(device)
    return moved
