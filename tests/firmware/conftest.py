"""The device's tokenizer, compiled once and linked with each tokenizer's tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mcu_sdk import resources
from mcu_sdk.model.tokenizer import DeviceTokenizer
from tests.firmware.tokenizer_device import Build, Device, compiler, render


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The tokenizer's code and the driver, compiled once."""
    folder = tmp_path_factory.mktemp("tokenizer_objects")
    sources = sorted((resources.firmware() / "runtime" / "tokenizer").glob("*.cpp"))
    for source in (*sources, Path(__file__).with_name("tokenizer_driver.cpp")):
        compiler("-I", resources.firmware(), "-c", source, "-o", folder / f"{source.stem}.o")
    return sorted(folder.glob("*.o"))


@pytest.fixture(scope="session")
def build(objects: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    devices: list[Device] = []

    def build_device(tokenizer: DeviceTokenizer) -> Device:
        folder = tmp_path_factory.mktemp("tokenizer")
        (folder / "tokenizer.cpp").write_text(render(tokenizer))
        # texts.cpp: the driver can always ask for it.
        needed = {Path(name).stem for name in tokenizer.to_template()["sources"]} | {
            "texts",
            "tokenizer_driver",
        }
        parts = [path for path in objects if path.stem in needed]
        compiler("-I", resources.firmware(), folder / "tokenizer.cpp", *parts, "-o", folder / "driver")
        devices.append(Device(folder / "driver"))
        return devices[-1]

    yield build_device
    for device in devices:
        device.close()
