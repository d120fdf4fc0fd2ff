"""`edge-export verify`: an artifact opened, looked through and run, without torch and without the pictures it was made from."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_agent.artifact import Artifact
from edge_agent.errors import ArtifactError
from edge_agent.image import ImageLimits
from export import clean, statistics
from export.head_graph_names import INPUTS, STEP_INPUTS, STEP_OUTPUTS, TRAINING_FILES
from export.sentinel import golden_logits
from export.written import StepCase, WrittenBackbone, numpy_steps, portable_steps, step_case, training_steps
