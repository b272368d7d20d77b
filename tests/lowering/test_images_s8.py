"""Networks of convolutions become int8 from end to end, and stay close to float."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn

import mcu_sdk
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.interpret import Interpreter


class Network(nn.Module):
    """Padding that is not the same on both sides, a residual sum with a ReLU, SiLU, pools, groups, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.wide = nn.Conv2d(3, 8, 3, stride=2), nn.Conv2d(8, 8, 3, padding=1)
        self.channels, self.points = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 12, 1)
        self.grouped, self.head = nn.Conv2d(12, 12, (1, 3), groups=2, dilation=(1, 2)), nn.Linear(12, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.pad(x, (0, 1, 0, 1))
        x = nn.functional.max_pool2d(self.stem(x).relu(), 3, 2, 1)
        x = (x + self.wide(x)).relu()
        x = nn.functional.silu(self.points(self.channels(x).clamp(-3, 3)))
        x = nn.functional.avg_pool2d(self.grouped(x), 3, 1, 1, count_include_pad=False)
        return self.head(x.mean((2, 3)))


def test_a_network() -> None:
    torch.manual_seed(0)
    network, calls = Network().eval(), [torch.randn(1, 3, 20, 18) for _ in range(8)]
    compiled = mcu_sdk.compile_module(network, calls[0], calibration=calls)
    program = read_pte(compiled.pte)
    operators = Counter(instruction.operator for instruction in program.instructions)
    assert operators["mcu::conv2d_s8"] == 3 and operators["mcu::depthwise_conv2d_s8"] == 1
    assert (
        operators["cortex_m::quantized_add"]
        == operators["mcu::lookup_s8"] + operators["mcu::lookup_s8_"]
        == 1
    )
    assert operators["mcu::max_pool2d_s8"] == operators["mcu::avg_pool2d_s8"] == 1
    assert not any(name in operators for name in ("aten::convolution", "aten::add", "aten::relu"))
    interpreter = Interpreter(program)
    with torch.no_grad():
        wanted = torch.cat([network(call) for call in calls])
    found = torch.cat([interpreter.run(call)[0] for call in calls])
    assert float((found - wanted).norm() / wanted.norm()) < 0.1


class Windows(nn.Module):
    """Attention within each of some windows of a sequence, a bias for all or for each of them."""

    def __init__(self, windows: int, heads: int, biases: int, copied: bool = False) -> None:
        super().__init__()
        self.windows, self.heads, self.copied = windows, heads, copied
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)
        length = 24 // windows
        self.register_buffer("bias", 3 * torch.randn(biases, heads, length, length))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = self.qkv(x.view(self.windows, -1, 16)).chunk(3, -1)
        parts = [value.view(*value.shape[:2], self.heads, -1).transpose(1, 2) for value in rows]
        if self.copied:  # as Whisper's
            parts = [(parts[0] * 0.5).contiguous(), *(part.contiguous() for part in parts[1:])]
        attended = nn.functional.scaled_dot_product_attention(*parts, attn_mask=self.bias)
        return self.out(attended.transpose(1, 2).reshape(1, 24, 16))


@pytest.mark.parametrize(
    ("windows", "heads", "biases", "copied"),
    [(4, 2, 1, False), (4, 2, 4, False), (4, 1, 1, False), (24, 2, 1, False), (1, 2, 1, True)],
)
def test_attention_within_windows(windows: int, heads: int, biases: int, copied: bool) -> None:
    torch.manual_seed(0)
    module = Windows(windows, heads, biases, copied).eval()
    calls = [torch.randn(1, 24, 16) for _ in range(4)]
    compiled = mcu_sdk.compile_module(module, calls[0], calibration=calls)
    program = read_pte(compiled.pte)
    operators = Counter(instruction.operator for instruction in program.instructions)
    assert operators["mcu::sequence_attention_s8"] == 1
    unwanted = ("aten::bmm", "aten::permute_copy", "aten::mul", "aten::slice_copy", "aten::cat")
    assert not any(name in operators for name in unwanted)
    interpreter = Interpreter(program)
    with torch.no_grad():
        wanted = torch.cat([module(call) for call in calls])
    found = torch.cat([interpreter.run(call)[0] for call in calls])
    assert float((found - wanted).norm() / wanted.norm()) < 0.06


class Pools(nn.Module):
    """Pools of one image whose edges differ, and of a row of it."""

    def __init__(self) -> None:
        super().__init__()
        self.images = nn.ModuleList(
            (
                nn.MaxPool2d(3, 2, ceil_mode=True),
                nn.MaxPool2d((2, 3), (3, 2), padding=(0, 1), ceil_mode=True),
                nn.AvgPool2d(3, 2, padding=1),
                nn.AvgPool2d((3, 2), padding=(1, 0), count_include_pad=False),
                nn.AdaptiveAvgPool2d((4, 2)),
                nn.Sequential(nn.ZeroPad2d((1, 0, 2, 1)), nn.MaxPool2d(2)),
            )
        )
        self.rows = nn.ModuleList((nn.MaxPool1d(4, 3, padding=1, ceil_mode=True), nn.AvgPool1d(3, 2)))

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        row = image[:, :, 3]
        return [*(pool(image) for pool in self.images), *(pool(row) for pool in self.rows)]


def test_pools_in_int8_are_those_of_pytorch() -> None:
    """Apart by a step of the image's scale at most: half of one for rounding what is given, and half for an average. The
    images are negative for the most part, so that zeros around them are the greatest values."""
    image = torch.randn(1, 3, 8, 6, generator=torch.Generator().manual_seed(5)) - 1
    module = Pools()
    compiled = mcu_sdk.compile_module(module, image)
    pte = read_pte(compiled.pte)
    found = [each.operator for each in pte.instructions if each.operator.startswith("mcu::")]
    assert sorted(found) == ["mcu::avg_pool2d_s8"] * 4 + ["mcu::max_pool2d_s8"] * 4
    step = float(max(image.max(), 0 * image.max()) - image.min()) / 255
    interpreter = Interpreter(pte)
    interpreter.reset()
    results = interpreter.run(image)
    for result, wanted in zip(results, module(image), strict=True):
        assert result.shape == wanted.shape
        assert float((result - wanted).abs().max()) <= 1.001 * step  # floats of scales are rounded, too
