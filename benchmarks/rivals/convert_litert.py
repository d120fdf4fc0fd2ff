"""The network as a LiteRT file; in an environment of its own, which holds torch, torchvision and litert-torch."""

from __future__ import annotations

import sys

import litert_torch
import torch
from torchvision.models import mobilenet_v3_small

WEIGHTS, CLASSES, SIDE, OUTPUT = sys.argv[1:]

network = mobilenet_v3_small(num_classes=int(CLASSES))
network.load_state_dict(torch.load(WEIGHTS, weights_only=True))
litert_torch.convert(network.eval(), (torch.zeros(1, 3, int(SIDE), int(SIDE)),)).export(OUTPUT)
