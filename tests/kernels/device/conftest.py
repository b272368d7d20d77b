"""The kernels of the products, on a simulated Cortex-M55."""

from __future__ import annotations

import pytest

from tests.kernels.conftest import kernel_files
from tests.kernels.device.simulated import Simulated, build

PRODUCTS = ("batch_matmul*.cpp", "linear_*.cpp", "embedding_s8*.cpp", "*quantize*.cpp", "row_s8.cpp", "*.S")


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    """What is made of int8 weights, and the quantization around it."""
    return build(kernel_files(*PRODUCTS), tmp_path_factory.mktemp("device"))
