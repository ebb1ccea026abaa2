"""The command that validates a data set: its keys, its help, and its exit code."""

import logging
import re

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel

from core.command.config import at_home, store_data_groups
from core.command.effects import check_effects
from core.command.help import help_width, keys_text, store_help_text
from core.command.help_topics import section_topic
from core.data.settings import DataSettings
from core.data.sources import find_sources
from core.data.validation.report import REPORT_KEYS, ReportSettings, as_json, as_text
from core.errors import InputError
from core.files.overwriting import check_replaceable, has_keys
from core.files.writing import write_json
from core.validation import nearest, validate

log = logging.getLogger(__name__)

SECTIONS: dict[str, type[BaseModel]] = {"data": DataSettings, "report": ReportSettings}

_INTRODUCTION = """\
Check every image and every row of a data set, and report everything that is
wrong with it.

  python code/validate_data.py data.root=DIR
  python code/validate_data.py data.root=DIR report.file=FILE report.examples=20
  python code/validate_data.py data.root=DIR data.split_strategy=file \\
      data.split_file=FILE
  python code/validate_data.py --help data.resize      one key, or one group

Exit code 0: training takes the data, though there may be warnings; 1: errors;
2: wrong usage. The keys of data.* are those of train.py, so that one command
line serves both. Keys that only matter during training, such as
data.batch_size and data.sampler, have no effect here.
"""


def fill_validation_store() -> None:
    """Offer the keys and the help of the command to Hydra."""
    store_data_groups()
    node = {"report": ReportSettings().model_dump(mode="json")}
    ConfigStore.instance().store(name="report_settings", node=node)
    width = help_width()
    sections = [keys_text(name, settings, width) for name, settings in SECTIONS.items()]
    store_help_text("validate_data", "\n".join([_INTRODUCTION, *sections]))


def help_on(word: str, width: int) -> str:
    """The help on a group of keys, or on one key. Raises InputError for anything else."""
    return section_topic(word, width, SECTIONS)


def run_validation(config: DictConfig) -> int:
    """Validate the data of a composed config, and write and print the report.

    Returns the exit code: 0, or 1 where training would refuse the data. Raises InputError for an
    invalid key or value, no data set, or a report that cannot be written.
    """
    content = at_home(OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
    for name in content:
        if name not in SECTIONS:
            raise InputError(_unknown_section(name))
    data = validate(DataSettings, content["data"], "data.")
    check_effects(data)
    report = validate(ReportSettings, content["report"], "report.")
    check_replaceable(report.file, "report.file", lambda file: has_keys(file, REPORT_KEYS))
    from core.data.validation.validate import validate_data  # takes seconds, unlike all above
    from core.running.loading import find_root, with_image_size

    root = find_root(data)
    find_sources(root)
    data = with_image_size(data)
    validation = validate_data(root, data)
    try:
        write_json(report.file, as_json(validation))
    except OSError as error:
        raise InputError(
            f"report.file={report.file}: cannot be written ({error.strerror}): give another file"
        ) from None
    log.info("%s\n\nReport: %s", as_text(validation, report.examples), report.file)
    return 0 if validation.usable else 1


def explain_key(error: Exception) -> str | None:
    """The message for a key that Hydra does not know, with the nearest known key."""
    match = re.search(r"Could not override '(\w+)(?:\.([\w.]+))?'", str(error))
    if match is None:
        return None
    section, key = match.groups()
    if section not in SECTIONS or not key:
        return _unknown_section(section)
    known = list(SECTIONS[section].model_fields)
    return f"{section}.{key}: unknown key{nearest(key, known)}; known keys: {', '.join(known)}"


def _unknown_section(name: str) -> str:
    return f"{name}: unknown key{nearest(name, SECTIONS)}; known: {', '.join(SECTIONS)}"
