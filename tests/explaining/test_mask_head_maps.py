"""The masks that a model predicts, as maps."""

import numpy as np
import torch

from core.explaining.methods import by_hires_cam, by_mask_head
from core.models.registry import get_registry

NAMES = ["a", "b", "c", "d"]


def test_maps_are_the_probabilities_of_the_mask_head():
    torch.manual_seed(0)
    model = get_registry().instantiate("resnet10_slim", mask_head=True).eval()
    torch.nn.init.normal_(model.mask_head.classifier.weight)
    image = torch.randint(0, 255, (1, 1, 64, 160), dtype=torch.uint8)
    maps = by_mask_head(model, image, NAMES)
    expected = model(image)["mask_logits"][0].detach().double().numpy()
    for c, heat in enumerate(maps):
        assert (heat.name, heat.class_index, heat.scale) == (NAMES[c], c, (0.0, 1.0))
        np.testing.assert_allclose(heat.values, 1 / (1 + np.exp(-expected[c])), atol=1e-6)
    # Maps of the last stage know such a model's dict of outputs.
    assert [heat.values.shape for heat in by_hires_cam(model, image, NAMES)] == [(2, 5)] * 4
