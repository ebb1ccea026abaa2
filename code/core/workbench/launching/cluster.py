"""A training as text to copy: for a terminal, and for SLURM."""

import shlex
from collections.abc import Sequence

from core.files.escaping import for_terminal

_SCRIPT = "code/train.py"


def command_line(words: Sequence[str]) -> str:
    """The command with these words, quoted for a shell."""
    return for_terminal(shlex.join(["python", _SCRIPT, *words]))


def batch_script(name: str, words: Sequence[str], num_gpus: int) -> str:
    """The text of a script for `sbatch`, to be submitted from the folder of the project.

    SLURM sends the signal that lets a training save itself, two minutes before its time is over;
    submitting the script again, with `resume=` and the folder, goes on.
    """
    lines = [
        "#!/bin/bash",
        f"#SBATCH --job-name={name}",
        *([f"#SBATCH --gpus={num_gpus}"] if num_gpus else []),
        "#SBATCH --cpus-per-task=8",
        "#SBATCH --time=12:00:00",
        "#SBATCH --signal=INT@120",
        "#SBATCH --output=%x_%j.txt",
        "",
        f"srun --ntasks=1 {command_line(words)}",
    ]
    return "\n".join([*lines, ""])
