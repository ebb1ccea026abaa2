"""timm is imported without torch's compiler, which works all the same when it is used.

Nor with wandb, which it imports where that is installed.
"""

import subprocess
import sys

import pytest
from conftest import REPOSITORY

IMPORT = "import sys; sys.path.insert(0, 'code'); import core.models; "
NOT_YET = "assert not {'torch._dynamo', 'wandb'} & set(sys.modules); "
# Each uses the compiler in another way, for the first time in its process.
USES = {
    "compile": (
        "import torch; from torch import nn; net = torch.compile(nn.ReLU(), backend='eager'); "
        "assert net(torch.tensor([-1.0, 2.0])).tolist() == [0.0, 2.0]"
    ),
    "torchvision": (
        "from torchvision.ops.roi_align import is_compile_supported; "
        "is_compile_supported('cpu'); assert 'torch._dynamo.utils' in sys.modules"
    ),
    "timm": (
        "from timm.models.naflexvit import NaFlexRopeIterator as Rope; "
        "iterator = Rope.__new__(Rope); iterator._depth_idx, iterator.depth = 1, 1; "
        "assert next(iterator, 'the end') == 'the end'"
    ),
}


# Forked: each finds the compiler not yet imported, and what comes before it is imported once.
FORKS = """
import os
for use in {uses!r}:
    child = os.fork()
    if not child:
        exec(use + "; import torch._dynamo; torch._dynamo.reset()")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, use
"""


@pytest.mark.slow
def test_the_compiler_is_imported_when_it_is_used():
    program = IMPORT + NOT_YET + FORKS.format(uses=list(USES.values()))
    words = [sys.executable, "-c", program]
    ended = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
