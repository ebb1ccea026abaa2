"""Training: one loop for every kind of learning, and the tasks it is given."""

import core.machine.torchvision_ops  # noqa: F401  timm imports torchvision, so this stands before timm
