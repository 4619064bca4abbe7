"""Data as tensors in memory: images (``load``), the drawing of ``strokes``, and 2-D ``toys``."""

from course_lib.data import strokes, toys
from course_lib.data.binarization import binarize, fixed_binarization
from course_lib.data.disjoint import assert_disjoint, shared_rows
from course_lib.data.images import DATASETS, Images, available, load

__all__ = [
    "DATASETS",
    "Images",
    "assert_disjoint",
    "available",
    "binarize",
    "fixed_binarization",
    "load",
    "shared_rows",
    "strokes",
    "toys",
]
