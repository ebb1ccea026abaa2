"""The command line: every documented form composes, every key reaches what it is for."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from conftest import REPOSITORY
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf
from overriding import group_choices, with_values

from core.command.choosers import short_forms
from core.command.config import (
    NO_MASK_LOSS,
    SHORT_FORMS,
    TrainConfig,
    check_config,
    components,
)
from core.data.annotations import read_label_table
from core.data.split_file import write_split
from core.errors import InputError
from core.experiments.folder import ExperimentFolder
from core.machine.interruption import Interruption
from core.running import launching
from core.running.composition import build, build_trainer
from core.running.experiment_record import TrainingSetup
from core.running.launching import launch
from core.running.loading import choose_split, read_data
from core.training.trainer import Trainer


def test_short_forms_choose_the_group():
    given = ["model.name=resnet50", "loss.type=focal_loss,bce_with_logits", "loss.gamma=3", "-m"]
    assert short_forms(given) == [
        "model=resnet50",
        "loss=focal_loss,bce_with_logits",
        "loss.gamma=3",
        "-m",
    ]


def test_a_name_among_several_that_is_unknown_is_refused():
    with pytest.raises(InputError, match=r"loss\.type=bcee"):
        short_forms(["loss.type=focal_loss,bcee"])


@pytest.mark.parametrize(("key", "group"), SHORT_FORMS.items())
def test_every_component_composes(compose, key, group):
    """One of each group by Hydra; the others as Hydra would find them in its store."""
    name = "resnet50" if group == "model" else "dice_loss"
    content = compose(f"{key}={name}").resolved()
    assert content[group][key.rpartition(".")[2]] == name
    offered = {
        Path(name).stem: OmegaConf.to_container(entry.node)
        for name, entry in ConfigStore.instance().repo[group].items()
    }
    assert offered.keys() == components(group).keys()
    for name, values in offered.items():
        config = OmegaConf.create({**content, group: values})
        if "???" in values.values():
            with pytest.raises(InputError, match=rf"{group}\.components: has no value"):
                check_config(config)
        else:
            chosen = getattr(check_config(config), group)
            assert chosen == (None if name == NO_MASK_LOSS else values)


SUPERVISION = sorted(path.stem for path in (REPOSITORY / "config" / "supervision").iterdir())


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name.endswith("percent") else [])
        for name in SUPERVISION
    ],
)
def test_every_supervision_builds(compose, tiny, name, given):
    # A tenth of a few strips would show no mask of some class.
    more = ["data.num_images=200", f"data.root={given['many']}"] if name.endswith("percent") else []
    config = compose(*tiny, f"supervision={name}", *more)
    data = read_data(config.data)
    parts = build(config, data, choose_split(config, data))
    assert (parts.learner.model.mask_head is None) == (name == "labels")
    assert (parts.learner.objective.mask_loss is None) == (name in ("labels", "fused"))


def test_without_a_mask_loss_there_is_none(compose):
    assert compose().mask_loss is None
    assert compose("mask_loss.type=none").mask_loss is None


def test_defaults_are_the_mission(compose):
    config = compose()
    assert config.model["name"] == "convnext_tiny_cbam"
    assert config.model["cbam_stages"] == [3, 4]
    assert config.loss["type"] == "focal_loss"
    assert config.loss["alpha"] == "dynamic"
    assert config.data.split_strategy == "stratified_70_15_15"


def test_no_yaml_repeats_a_default_that_stands_in_the_code(compose):
    """Files in config/ hold differences: a value equal to the default is a second home of it.

    What a file of experiments builds upon may have another value than the code.
    """
    plain, folder = compose().resolved(), REPOSITORY / "config" / "experiment"
    files = {path.stem: OmegaConf.to_container(OmegaConf.load(path)) for path in folder.iterdir()}
    for name, content in files.items():
        below = [files[each] for each in content.get("defaults", []) if str(each) in files]
        for section in ("training", "evaluation", "runtime"):
            before = [plain[section], *(each.get(section, {}) for each in below)]
            known = {key: value for each in before for key, value in each.items()}
            for key, value in content.get(section, {}).items():
                assert known[key] != value, f"{name}.yaml: {section}.{key}"


# For each key, an override and what it changes in the objects that are composed from it.
EFFECTS: dict[str, tuple[str | list[str], Callable[[Any], Any]]] = {
    "model.name": ("model.name=convnext_atto", lambda b: type(b.model).__name__),
    "model.backbone": ("model.backbone=test_efficientnet", lambda b: b.num_parameters),
    "model.num_classes": (
        ["model.num_classes=2", "data.source=severstal", "data.root={labelled}"],
        lambda b: b.model(b.images).shape,
    ),
    "model.pretrained": (
        ["model.pretrained=true", "model.weights={weights}"],
        lambda b: b.config.model["pretrained"],
    ),
    "model.weights": ("model.weights={weights}", lambda b: b.first_weight.sum().item()),
    "model.cbam_stages": ("model.cbam_stages=[4]", lambda b: b.num_parameters),
    "model.cbam_reduction": (
        ["model.cbam_stages=[4]", "model.cbam_reduction=4"],
        lambda b: b.num_parameters,
    ),
    "model.cbam_kernel_size": (
        ["model.cbam_stages=[4]", "model.cbam_kernel_size=3"],
        lambda b: b.num_parameters,
    ),
    "model.pooling": ("model.pooling=max", lambda b: b.model(b.images).sum().item()),
    "model.drop_rate": ("model.drop_rate=0.9", lambda b: b.model.train()(b.images).sum().item()),
    "model.drop_path_rate": ("model.drop_path_rate=0.5", lambda b: str(b.model).count("DropPath")),
    "model.freeze_backbone": ("model.freeze_backbone=true", lambda b: b.num_trainable),
    "model.freeze_stages": ("model.freeze_stages=2", lambda b: b.num_trainable),
    "model.freeze_batch_norm": (
        "model.freeze_batch_norm=true",
        lambda b: b.model.train().backbone.bn1.training,
    ),
    "model.mask_head": ("model.mask_head=true", lambda b: type(b.model(b.images)).__name__),
    "model.mask_head_width": (
        ["model.mask_head=true", "model.mask_head_width=8"],
        lambda b: b.num_parameters,
    ),
    "model.fusion": (
        ["model.mask_head=true", "mask_loss=dice_loss", "model.fusion=false"],
        lambda b: b.num_parameters,
    ),
    "model.backbone_options": (
        "model.backbone_options={{stem_width:48}}",
        lambda b: b.num_parameters,
    ),
    "mask_loss": (
        ["model.mask_head=true", "mask_loss=dice_loss"],
        lambda b: b.mask_loss_value,
    ),
    "mask_loss.weight": (
        ["model.mask_head=true", "mask_loss.type=dice_loss", "mask_loss.weight=3"],
        lambda b: b.mask_loss_value,
    ),
    "data.mask_fraction": (
        ["model.mask_head=true", "mask_loss.type=dice_loss", "data.mask_fraction=0.5"],
        lambda b: sum(batch["has_masks"].sum().item() for batch in b.loaders["train"]),
    ),
    "loss.num_classes": ("loss.num_classes=4", lambda b: b.loss.get_params()["num_classes"]),
    "loss.type": ("loss.type=bce_with_logits", lambda b: type(b.loss).__name__),
    "loss.alpha": ("loss.alpha=0.25", lambda b: b.loss_value),
    "loss.gamma": ("loss.gamma=0.5", lambda b: b.loss_value),
    "loss.class_weight": ("loss.class_weight=[1,2,3,4]", lambda b: b.loss_value),
    "loss.effective_number_beta": (
        [
            "loss.class_weight=effective_number",
            "data.class_shares=[0.5,0.2,0.2,0.2]",
            "loss.effective_number_beta=0.9",
        ],
        lambda b: b.loss_value,
    ),
    "loss.alpha_normalize": ("loss.alpha_normalize=true", lambda b: b.loss_value),
    "loss.reduction": ("loss.reduction=sum", lambda b: b.loss_value),
    "data.source": (
        ["data.source=severstal", "data.root={labelled}"],
        lambda b: b.parts.data.table.source,
    ),
    "data.root": ("data.root={root}", lambda b: b.parts.data.table.image_paths[0].parent),
    "data.class_names": ("data.class_names=[a,b,c,d]", lambda b: b.parts.data.table.class_names),
    "data.image_size": ("data.image_size=[64,352]", lambda b: b.images.shape),
    "data.resize": ("data.resize=[32,96]", lambda b: b.images.shape),
    "data.resize_mode": (
        ["data.resize=[64,96]", "data.resize_mode=letterbox"],
        lambda b: b.images[..., 0, :].sum().item(),
    ),
    "data.bit_depth": ("data.bit_depth=12", lambda b: b.parts.data.image_format.bit_depth),
    "data.channels": ("data.channels=3", lambda b: b.images.shape),
    "data.batch_size": ("data.batch_size=4", lambda b: b.images.shape),
    "data.cache": ("data.cache=disk", lambda b: type(b.parts.data.images).__name__),
    "data.cache_dir": (
        ["data.cache=disk", "data.cache_dir={elsewhere}"],
        lambda b: b.parts.data.images.path.parents[1],
    ),
    "data.num_workers": ("data.num_workers=1", lambda b: b.loaders["train"].num_workers),
    "data.sampler": (
        ["data.sampler=balanced", "data.class_shares=[0.5,0.2,0.2,0.2]"],
        lambda b: list(b.loaders["train"].sampler),
    ),
    "data.split_strategy": (
        "data.split_strategy=stratified_80_10_10",
        lambda b: len(b.parts.split["train"]),
    ),
    "data.split_file": (
        ["data.split_strategy=file", "data.split_file={split}"],
        lambda b: b.parts.split["test"].tolist(),
    ),
    "data.num_images": ("data.num_images=48", lambda b: len(b.parts.data.table)),
    "data.class_shares": (
        "data.class_shares=[0.5,0.2,0.2,0.2]",
        lambda b: b.parts.data.table.labels.sum(axis=0).tolist(),
    ),
    "data.label_noise": ("data.label_noise=0.2", lambda b: b.parts.data.table.labels.sum()),
    "data.label_noise_kind": (
        ["data.label_noise=0.2", "data.label_noise_kind=missing"],
        lambda b: b.parts.data.table.flips,
    ),
    "data.generation_seed": ("data.generation_seed=1", lambda b: b.parts.data.table.image_ids),
    "data.on_bad_image": (
        [
            "data.on_bad_image=skip",
            "data.source=severstal",
            "data.root={half_written}",
        ],
        lambda b: list(b.parts.data.table.skipped),
    ),
    "data.missing_masks": (
        ["data.missing_masks=ignore", "data.source=severstal", "data.root={without_masks}"],
        lambda b: sorted(b.parts.data.table.masks.missing),
    ),
    "data.unused_masks": (
        ["data.unused_masks=[5.jpg]", "data.source=severstal", "data.root={with_masks}"],
        lambda b: sorted(b.parts.data.table.masks.missing),
    ),
    "data.corrections": (
        ["data.corrections={corrections}", "data.source=severstal", "data.root={labelled}"],
        lambda b: b.parts.data.table.labels.tolist(),
    ),
    "data.group_duplicates": (
        [
            "data.group_duplicates=false",
            "data.source=severstal",
            "data.root={labelled}",
        ],
        lambda b: len(b.parts.data.duplicate_pairs),
    ),
    "training.num_epochs": ("training.num_epochs=3", lambda b: b.trainer.settings.num_epochs),
    "training.learning_rate": ("training.learning_rate=0.5", lambda b: b.rate_after(6)),
    "training.min_learning_rate": ("training.min_learning_rate=1e-4", lambda b: b.rate_after(99)),
    "training.warmup_epochs": ("training.warmup_epochs=0", lambda b: b.rate_after(1)),
    "training.head_epochs": ("training.head_epochs=1", lambda b: b.rate_after(1)),
    "training.weight_decay": (
        "training.weight_decay=0.5",
        lambda b: [g["weight_decay"] for g in b.learner.optimizer.param_groups],
    ),
    "training.gradient_clip_norm": (
        "training.gradient_clip_norm=0.1",
        lambda b: b.learner.gradient_clip_norm,
    ),
    "training.accumulation_steps": (
        "training.accumulation_steps=3",
        lambda b: b.learner.accumulation_steps,
    ),
    "training.gradient_checkpointing": (
        "training.gradient_checkpointing=true",
        lambda b: b.model.backbone.grad_checkpointing,
    ),
    "training.ema_decay": (
        "training.ema_decay=0.99",
        lambda b: b.learner.evaluated_model is b.learner.model,
    ),
    "training.layer_decay": (
        "training.layer_decay=0.5",
        lambda b: sorted({g["lr"] for g in b.learner.optimizer.param_groups}),
    ),
    "training.optimizer": (
        "training.optimizer=lion",
        lambda b: type(b.learner.optimizer).__name__,
    ),
    "training.early_stopping_patience": (
        "training.early_stopping_patience=1",
        lambda b: b.trainer.callbacks[-1].patience,
    ),
    "training.checkpoint_every_n_epochs": (
        "training.checkpoint_every_n_epochs=2",
        lambda b: len(b.trainer.callbacks),
    ),
    "training.evaluate_train_part": (
        "training.evaluate_train_part=true",
        lambda b: sorted(b.loaders),
    ),
    "training.tested_epoch": (
        "training.tested_epoch=last",
        lambda b: b.trainer.settings.tested_epoch,
    ),
    "training.checkpoint_minutes": (
        "training.checkpoint_minutes=0.5",
        lambda b: b.trainer.checkpoints.minutes,
    ),
    "training.trackers": ("training.trackers=[tensorboard]", lambda b: b.config.training.trackers),
    "experiment.name": ("experiment.name=other", lambda b: b.trainer.folder.path.name[:5]),
    "experiment.seed": ("experiment.seed=7", lambda b: b.first_weight.sum().item()),
    "experiment.results_dir": (
        "experiment.results_dir={elsewhere}",
        lambda b: b.trainer.folder.path.parent,
    ),
    "runtime.device": ("runtime.device=cpu", lambda b: b.config.runtime.device),
    "runtime.precision": ("runtime.precision=bfloat16", lambda b: b.learner.precision.name),
    "runtime.channels_last": (
        "runtime.channels_last=true",
        lambda b: b.first_weight.is_contiguous(memory_format=torch.channels_last),
    ),
    "runtime.depthwise_gradient": (
        [
            "model.name=convnext_atto",
            "runtime.precision=bfloat16",
            "runtime.depthwise_gradient=matmul",
        ],
        lambda b: str(b.model).count("DepthwiseConv2d"),
    ),
    "runtime.compile": (
        "runtime.compile=true",
        lambda b: b.model._compiled_call_impl is None,
    ),
    "runtime.devices": ("runtime.devices=2", lambda b: processes_for(b.config)),
    "runtime.augment_on_device": (
        "runtime.augment_on_device=true",
        lambda b: type(b.loaders["train"].dataset.transform).__name__,
    ),
    "runtime.num_threads": ("runtime.num_threads=2", lambda b: b.num_threads),
    "runtime.deterministic": ("runtime.deterministic=false", lambda b: b.deterministic),
}


def processes_for(config: TrainConfig) -> int:
    """In how many processes this config is trained."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(launching, "_in_processes", lambda devices, work: devices)
        return launch(config, lambda: 1)


@dataclass
class Built:
    """What a config is composed into, and a batch of it."""

    config: TrainConfig
    parts: TrainingSetup
    trainer: Trainer

    def __post_init__(self) -> None:
        self.learner, self.loaders = self.parts.learner, self.parts.task.loaders
        self.model, self.objective = self.learner.model, self.learner.objective
        self.loss = self.objective.image_loss
        self.num_threads = torch.get_num_threads()
        self.deterministic = torch.are_deterministic_algorithms_enabled()
        self.batch = next(iter(self.loaders["validation"]))
        self.images = self.batch["image"]
        parameters = list(self.model.parameters())
        self.first_weight = parameters[0]
        self.num_parameters = sum(p.numel() for p in parameters)
        self.num_trainable = sum(p.numel() for p in parameters if p.requires_grad)

    @property
    def mask_loss_value(self) -> float:
        output = self.model.eval()(self.images)
        return self.objective.train()(output, self.batch).item()

    @property
    def loss_value(self) -> float:
        labels = self.batch["labels"]
        return self.loss(torch.linspace(-2, 3, labels.numel()).view_as(labels), labels).item()

    def rate_after(self, updates: int) -> float:
        self.learner.scheduler.step_update(updates)
        return self.learner.optimizer.param_groups[0]["lr"]


@pytest.fixture(scope="session")
def given(tiny, tmp_path_factory) -> dict[str, str]:
    """Files that overrides name."""
    import timm

    folder = tmp_path_factory.mktemp("given")
    torch.manual_seed(9)
    network = timm.create_model("test_resnet", num_classes=4)
    torch.save(network.state_dict(), folder / "weights.pt")
    (folder / "labelled" / "images").mkdir(parents=True)
    rows = ["ImageId,pit,crack"]
    for number in range(24):
        # The last image is the one before it again, a little brighter.
        texture = np.random.default_rng(min(number, 22)).normal(120, 30, (16, 80)).clip(40, 200)
        image = cv2.resize((texture + number).astype(np.uint8), (64, 32))
        cv2.imwrite(str(folder / "labelled" / "images" / f"{number}.jpg"), image)
        rows.append(f"{number}.jpg,{number % 2},{number // 2 % 2}")
    (folder / "labelled" / "labels.csv").write_text("\n".join(rows))
    reviewed = read_label_table(folder / "labelled", image_size=(32, 64)).fingerprint()
    (folder / "corrections.csv").write_text(
        f"image_id,class_name,given,label,fingerprint\n0.jpg,pit,0,1,{reviewed}\n"
    )
    shutil.copytree(folder / "labelled", folder / "half_written")
    (folder / "half_written" / "images" / "0.jpg").write_bytes(b"\xff\xd8\xff")
    shutil.copytree(folder / "labelled", folder / "without_masks")
    (folder / "without_masks" / "images").rename(folder / "without_masks" / "train_images")
    (folder / "without_masks" / "train.csv").write_text("ImageId,ClassId,EncodedPixels\n")
    shutil.copytree(folder / "without_masks", folder / "with_masks")
    (folder / "with_masks" / "labels.csv").unlink()
    rows = ["ImageId,ClassId,EncodedPixels", *(f"{n}.jpg,{n % 4 + 1},1 3" for n in range(24))]
    (folder / "with_masks" / "train.csv").write_text("\n".join(rows))
    return {
        "with_masks": str(folder / "with_masks"),
        "half_written": str(folder / "half_written"),
        "without_masks": str(folder / "without_masks"),
        "labelled": str(folder / "labelled"),
        "corrections": str(folder / "corrections.csv"),
        "weights": str(folder / "weights.pt"),
        "root": str(folder / "strips"),
        "many": str(folder / "many_strips"),
        "split": str(folder / "split.csv"),
        "elsewhere": str(folder / "elsewhere"),
        "results": str(folder / "results"),
    }


@pytest.fixture(scope="module")
def composed(compose, tiny, given) -> Callable[..., TrainConfig]:
    """Compose as the command line would, but by Hydra each choice of groups once."""
    contents: dict[tuple[str, ...], dict[str, Any]] = {}

    def run(*overrides: str) -> TrainConfig:
        base = [*tiny, f"experiment.results_dir={given['results']}"]
        if any(override.startswith("model.name=") for override in overrides):
            base.remove("model.backbone=test_resnet")
        overrides = [*base, *(override.format(**given) for override in overrides)]
        choices = tuple(group_choices(overrides))
        if choices not in contents:
            contents[choices] = compose(*choices).resolved()
        return check_config(with_values(contents[choices], overrides))

    return run


@pytest.fixture
def built(composed, given) -> Callable[..., Built]:
    threads = torch.get_num_threads()

    def run(*overrides: str) -> Built:
        config = composed(*overrides)
        data = read_data(config.data)
        parts = build(config, data, choose_split(config, data))
        write_split(Path(given["split"]), parts.data.table, rolled(parts.split))
        folder = ExperimentFolder.create(
            Path(config.experiment.results_dir), config.experiment.name
        )
        return Built(config, parts, build_trainer(config, parts, folder, Interruption()))

    yield run
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def rolled(split: dict) -> dict:
    """The same parts with test and validation exchanged."""
    return {**split, "validation": split["test"], "test": split["validation"]}


@pytest.mark.parametrize("key", EFFECTS)
def test_every_key_has_an_effect(key, built):
    overrides, probe = EFFECTS[key]
    overrides = [overrides] if isinstance(overrides, str) else overrides
    before = probe(built(*others(overrides, key)))
    after = probe(built(*overrides))
    assert before != after


def others(overrides: list[str], key: str) -> list[str]:
    """What a key needs beside itself to have an effect, such as CBAM for its reduction."""
    needed = [o for o in overrides if not o.startswith(f"{key}=")]
    return needed if key in NEEDS_OTHERS else []


NEEDS_OTHERS = {
    "model.cbam_reduction",
    "model.cbam_kernel_size",
    "model.pretrained",
    "loss.effective_number_beta",
    "data.group_duplicates",
    "data.mask_fraction",
    "mask_loss",
    "mask_loss.weight",
    "model.fusion",
    "model.mask_head_width",
    "data.sampler",
    "data.cache_dir",
    "data.resize_mode",
    "data.label_noise_kind",
    "data.corrections",
}


def test_every_key_is_tried_above(compose, tiny):
    keys = set(leaves(compose(*tiny).resolved()))
    # Augmentation and evaluation have such a table beside their own tests.
    tried_elsewhere = {key for key in keys if key.startswith(("augmentation.", "evaluation."))}
    tried_elsewhere |= {"training.folds"}
    assert keys - tried_elsewhere == set(EFFECTS) - {"mask_loss.weight"}


def leaves(config: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key, value in config.items():
        if isinstance(value, dict):
            found += leaves(value, f"{prefix}{key}.")
        else:
            found.append(f"{prefix}{key}")
    return found


def test_a_wrong_optimizer_is_found_before_anything_is_read_or_downloaded(compose):
    with pytest.raises(InputError, match=r"training\.optimizer='adamx'.*did you mean 'adam"):
        compose("training.optimizer=adamx")
