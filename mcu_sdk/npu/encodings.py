"""The commands of Ethos-U55, U65 and U85: their numbers, names and fields, and the names of the fields' values.

Source of the numbers: the interface headers that ethos-u-vela's source distribution carries (ethos_u65_interface.hpp,
which serves the U55 too, and ethos_u85_interface.hpp).

In the tables a line is one command: `wide` where a word of payload follows and `word` where none does, the name, and
the fields from bit 0 of the parameter on, as name or name:bits. "-" is reserved and has to be zero. A payload's fields
follow the parameter's sixteen bits. The numbers of commands and modes that U55 and U65 have are those of opcodes.py; a
command that only U85 has stands with its opcode in hexadecimal before its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from mcu_sdk.npu.opcodes import COMPUTING, Accumulator, Elementwise, Op, Pooling, Rounding, Set, SetWide

_COMMON = """
word OP_STOP mask:16
word OP_IRQ mask:16
word OP_DEPTHWISE -:16
word OP_POOL pooling_mode:3 -:13
word OP_ELEMENTWISE elementwise_mode:6 -:10
word OP_DMA_START -:16
word OP_PMU_MASK enable -:15
word SET_IFM_PAD_TOP pad:7 -:9
word SET_IFM_PAD_LEFT pad:7 -:9
word SET_IFM_PAD_RIGHT pad:8 -:8
word SET_IFM_PAD_BOTTOM pad:8 -:8
word SET_IFM_DEPTH_M1 depth_m1:16
word SET_IFM_UPSCALE mode:2 -:14
word SET_IFM_ZERO_POINT zero_point:16
word SET_IFM_WIDTH0_M1 width_m1:16
word SET_IFM_HEIGHT0_M1 height_m1:16
word SET_IFM_HEIGHT1_M1 height_m1:16
word SET_IFM_REGION region:3 -:13
word SET_OFM_WIDTH_M1 width_m1:16
word SET_OFM_HEIGHT_M1 height_m1:16
word SET_OFM_DEPTH_M1 depth_m1:16
word SET_OFM_ZERO_POINT zero_point:16
word SET_OFM_WIDTH0_M1 width_m1:16
word SET_OFM_HEIGHT0_M1 height_m1:16
word SET_OFM_HEIGHT1_M1 height_m1:16
word SET_OFM_REGION region:3 -:13
word SET_KERNEL_WIDTH_M1 width_m1:16
word SET_KERNEL_HEIGHT_M1 height_m1:16
word SET_KERNEL_STRIDE stride_x_lsb stride_y_lsb weight_order dilation_x dilation_y decomposition stride_x_msb -:2 stride_y_msb -:6
word SET_ACTIVATION_MIN clip_boundary:16
word SET_ACTIVATION_MAX clip_boundary:16
word SET_WEIGHT_REGION region:3 -:13
word SET_SCALE_REGION region:3 -:13
word SET_DMA0_SIZE0 size:16
word SET_DMA0_SIZE1 size:16
word SET_IFM2_ZERO_POINT zero_point:16
word SET_IFM2_WIDTH0_M1 width_m1:16
word SET_IFM2_HEIGHT0_M1 height_m1:16
word SET_IFM2_HEIGHT1_M1 height_m1:16
word SET_IFM2_REGION region:3 -:13
wide SET_IFM_BASE0 high:8 -:8 low:32
wide SET_IFM_BASE1 high:8 -:8 low:32
wide SET_IFM_BASE2 high:8 -:8 low:32
wide SET_IFM_BASE3 high:8 -:8 low:32
wide SET_IFM_STRIDE_X high:8 -:8 low:32
wide SET_IFM_STRIDE_Y high:8 -:8 low:32
wide SET_IFM_STRIDE_C high:8 -:8 low:32
wide SET_OFM_BASE0 high:8 -:8 low:32
wide SET_OFM_BASE1 high:8 -:8 low:32
wide SET_OFM_BASE2 high:8 -:8 low:32
wide SET_OFM_BASE3 high:8 -:8 low:32
wide SET_OFM_STRIDE_X high:8 -:8 low:32
wide SET_OFM_STRIDE_Y high:8 -:8 low:32
wide SET_OFM_STRIDE_C high:8 -:8 low:32
wide SET_WEIGHT_BASE high:8 -:8 low:32
wide SET_WEIGHT_LENGTH -:16 length:32
wide SET_SCALE_BASE high:8 -:8 low:32
wide SET_SCALE_LENGTH -:16 length:20 -:12
wide SET_DMA0_SRC high:8 -:8 low:32
wide SET_DMA0_DST high:8 -:8 low:32
wide SET_DMA0_LEN high:8 -:8 low:32
wide SET_IFM2_BASE0 high:8 -:8 low:32
wide SET_IFM2_BASE1 high:8 -:8 low:32
wide SET_IFM2_BASE2 high:8 -:8 low:32
wide SET_IFM2_BASE3 high:8 -:8 low:32
wide SET_IFM2_STRIDE_X high:8 -:8 low:32
wide SET_IFM2_STRIDE_Y high:8 -:8 low:32
wide SET_IFM2_STRIDE_C high:8 -:8 low:32
wide SET_WEIGHT1_BASE high:8 -:8 low:32
wide SET_WEIGHT1_LENGTH -:16 length:32
"""

_U55_AND_U65 = """
word OP_CONV -:16
word OP_DMA_WAIT k -:15
word OP_KERNEL_WAIT n:2 -:14
word SET_IFM_PRECISION activation_type - activation_precision:2 -:2 activation_format:2 scale_mode:2 -:4 round_mode:2
word SET_IFM_IB_END ib_end:6 -:10
word SET_OFM_PRECISION activation_type activation_precision:2 -:3 activation_format:2 scale_mode -:5 round_mode:2
word SET_OFM_BLK_WIDTH_M1 width_m1:6 -:10
word SET_OFM_BLK_HEIGHT_M1 height_m1:5 -:11
word SET_OFM_BLK_DEPTH_M1 depth_m1:7 -:9
word SET_PARALLEL_MODE parallel_mode -:15
word SET_ACC_FORMAT acc_format:2 -:14
word SET_ACTIVATION activation_function:5 -:7 activation_clip_range:3 -
word SET_AB_START ab_start:6 -:10
word SET_BLOCKDEP blockdep:2 -:14
word SET_DMA0_SRC_REGION region:3 -:5 region_mode stride_mode:2 -:5
word SET_DMA0_DST_REGION region:3 -:5 region_mode stride_mode:2 -:5
word SET_IFM2_BROADCAST broadcast_h broadcast_w broadcast_c -:3 operand_order broadcast_constant -:8
word SET_IFM2_SCALAR scalar:16
word SET_IFM2_PRECISION activation_type - activation_precision:2 -:2 activation_format:2 -:8
word SET_IFM2_IB_START ib_start:6 -:10
wide SET_OFM_SCALE shift:6 -:10 scale:32
wide SET_OPA_SCALE shift:6 -:10 scale:32
wide SET_OPB_SCALE -:16 scale:16 -:16
wide SET_DMA0_SKIP0 high:8 -:8 low:32
wide SET_DMA0_SKIP1 high:8 -:8 low:32
wide SET_SCALE1_BASE high:8 -:8 low:32
wide SET_SCALE1_LENGTH -:16 length:20 -:12
"""

_U85 = """
word 002 OP_CONV weights_ifm2 -:15
word 007 OP_RESIZE resize_mode:2 -:14
word 011 OP_DMA_WAIT k:2 -:14
word 012 OP_KERNEL_WAIT n -:15
word 105 SET_IFM_PRECISION activation_type - activation_precision:2 -:2 activation_format:2 -:6 activation_storage:2
word 108 SET_IFM_BROADCAST broadcast_mode:4 -:12
word 114 SET_OFM_PRECISION activation_type activation_precision:2 -:3 activation_format:2 scale_mode activation_reverse:2 activation_transpose:3 activation_storage:2
word 115 SET_OFM_BLK_WIDTH_M1 width_m1:7 -:9
word 116 SET_OFM_BLK_HEIGHT_M1 height_m1:7 -:9
word 117 SET_OFM_BLK_DEPTH_M1 depth_m1:10 -:6
word 124 SET_ACC_FORMAT acc_format:2 -:2 acc_input:2 acc_output - microblock:3 -:5
word 125 SET_ACTIVATION activation_function:5 table:3 -:4 activation_clip_range -:3
word 12a SET_RESIZE_X_SCALE_N_M1 resize_x_scale_n_m1:11 -:5
word 12b SET_RESIZE_Y_SCALE_N_M1 resize_y_scale_n_m1:11 -:5
word 12c SET_RESIZE_X_OFFSET resize_x_offset:12 -:4
word 12d SET_RESIZE_Y_OFFSET resize_y_offset:12 -:4
word 12e SET_WEIGHT_FORMAT weight_format -:3 weight_sparsity -:11
word 12f SET_BLOCKDEP blockdep:3 -:13
word 130 SET_DMA0_SRC_REGION region:3 -:5 region_mode stride_mode:2 idx_mode -:4
word 131 SET_DMA0_DST_REGION region:3 -:5 region_mode -:2 idx_mode -:4
word 134 SET_DMA0_IDX_REGION region:3 -:13
word 180 SET_IFM2_BROADCAST broadcast_mode:4 -:12
word 185 SET_IFM2_PRECISION activation_type - activation_precision:2 -:2 activation_format:2 -:6 activation_storage:2
wide 024 SET_OFM_SCALE shift:6 dbl_rnd:5 -:2 round_mode:3 scale:31 -
wide 025 SET_IFM_SCALE shift:6 dbl_rnd:5 -:2 round_mode -:2 scale:31 -
wide 026 SET_IFM2_SCALE shift:6 dbl_rnd:5 -:2 round_mode -:2 scale:31 -
wide 027 SET_OP_SCALAR -:16 scalar:32
wide 033 SET_DMA0_SRC_STRIDE0 high:8 -:8 low:32
wide 034 SET_DMA0_SRC_STRIDE1 high:8 -:8 low:32
wide 035 SET_DMA0_DST_STRIDE0 high:8 -:8 low:32
wide 036 SET_DMA0_DST_STRIDE1 high:8 -:8 low:32
wide 037 SET_DMA0_IDX high:8 -:8 low:32
wide 038 SET_DMA0_IDX_MAX -:16 idx_max:31 -
wide 039 SET_DMA0_IDX_SKIP1 high:8 -:8 low:32
wide 092 SET_WEIGHT2_BASE high:8 -:8 low:32
wide 093 SET_WEIGHT2_LENGTH -:16 length:32
wide 094 SET_WEIGHT3_BASE high:8 -:8 low:32
wide 095 SET_WEIGHT3_LENGTH -:16 length:32
wide 096 SET_RESIZE_X one_step_int:4 blk_step_int:11 - one_step_mod:11 -:5 blk_step_mod:11 -:5
wide 097 SET_RESIZE_Y one_step_int:4 blk_step_int:11 - one_step_mod:11 -:5 blk_step_mod:11 -:5
wide 100 OP_BRANCH branch_cond -:15 branch_target:32
"""

_PRECISIONS = {0: "B8", 1: "B16", 2: "B32", 3: "B64"}
_VALUES: dict[str, dict[int, str]] = {
    "activation_format": {0: "NHWC", 1: "NHCWB16"},
    "activation_precision": _PRECISIONS,
    "activation_type": {0: "UNSIGNED", 1: "SIGNED"},
    "acc_format": {mode.value: mode.name for mode in Accumulator},
    "pooling_mode": {mode.value: mode.name for mode in Pooling},
    "elementwise_mode": {mode.value: mode.name for mode in Elementwise},
    "weight_order": {0: "DEPTH_FIRST", 1: "PART_KERNEL_FIRST"},
    "region_mode": {0: "EXTERNAL", 1: "INTERNAL"},
    "stride_mode": {0: "D1", 1: "D2", 2: "D3"},
}

_VALUES_U55_AND_U65: dict[str, dict[int, str]] = {
    "round_mode": {Rounding.DOUBLE: "DBL", Rounding.TRUNCATE: "TRUNCATE", Rounding.NATURAL: "NATURAL"},
    "activation_function": {0: "RELU", 3: "TANH", 4: "SIGMOID", **{16 + n: f"TABLE_{n}" for n in range(8)}},
    "activation_clip_range": {0: "OFM_PRECISION", 2: "FORCE_UINT8", 3: "FORCE_INT8", 5: "FORCE_INT16"},
    "parallel_mode": {0: "SINGLE_CORE", 1: "DUAL_CORE_DEPTH"},
}

_VALUES_U85: dict[str, dict[int, str]] = {
    "acc_format": {0: "I32", 1: "I48"},
    "acc_input": {0: "RESET", 1: "KEEP", 2: "IFM2"},
    "acc_output": {0: "ENABLE", 1: "DISABLE"},
    "activation_reverse": {0: "NONE", 1: "H", 2: "W", 3: "C"},
    "activation_storage": {0: "TILE2X2", 1: "TILE3X1", 2: "CHAINED", 3: "NONE"},
    "activation_transpose": {0: "HWC", 1: "WHC", 2: "HCW", 3: "WCH", 6: "CHW", 7: "CWH"},
    "idx_mode": {0: "DISABLED", 1: "ENABLED"},
    "microblock": {0: "U1X1", 1: "U1X2", 2: "U1X4", 3: "U2X2", 4: "U2X4", 5: "U4X4"},
    "round_mode": {
        0: "DOUBLE_SYMMETRIC",
        1: "NATURAL",
        2: "DOUBLE_ASYMMETRIC",
        3: "SYMMETRIC",
        4: "TRUNCATE_TO_ZERO",
        5: "TRUNCATE_TO_LOWER",
    },
    "weight_sparsity": {0: "NONE", 1: "SPARSE_2_4"},
    "pooling_mode": {
        **_VALUES["pooling_mode"],
        3: "SUM",
        4: "NONE",
        5: "MIN",
        6: "ARGMAX_X",
        7: "ARGMAX_Y",
    },
    "elementwise_mode": {
        **_VALUES["elementwise_mode"],
        10: "LSR",
        11: "DIV",
        16: "CMP_EQ",
        17: "CMP_NE",
        18: "CMP_GE",
        19: "CMP_GT",
        33: "AND",
        34: "OR",
        35: "XOR",
        36: "NOT",
        42: "AND_NOT",
    },
    "resize_mode": {0: "BILINEAR", 1: "REPLICATE", 2: "NEAREST"},
    "weight_format": {0: "SWD", 1: "FWD"},
    "activation_function": {
        0: "LUT_NONE",
        1: "LUT_U8_U8",
        4: "LUT_S8_S8",
        5: "LUT_S8_S16",
        7: "LUT_S8_S32",
        8: "LUT_S16_S16",
        9: "LUT_S16_S32",
        10: "LUT_TANH",
        11: "LUT_SIGMOID",
    },
    "activation_clip_range": {0: "B16", 1: "NONE"},
    "broadcast_mode": {
        0: "NONE",
        1: "H",
        2: "W",
        3: "HW",
        4: "C",
        5: "CH",
        6: "CW",
        7: "CWH",
        8: "SCALAR",
    },
}


_COMPUTING_U85 = {"OP_RESIZE"}
"""Besides those of opcodes.py, whose numbers they do not share."""


@dataclass(frozen=True)
class Field:
    """Bits `low` to `low + width - 1` of the parameter, or of parameter | payload << 16. No name: reserved."""

    name: str
    low: int
    width: int


@dataclass(frozen=True)
class Definition:
    """What a command is called, whether it has a payload, and what is in it."""

    opcode: int
    wide: bool
    name: str
    fields: tuple[Field, ...]

    @property
    def computes(self) -> bool:
        """Whether it reads feature maps and writes one."""
        return not self.wide and (self.opcode in COMPUTING or self.name in _COMPUTING_U85)

    def reserved(self, parameter: int, payload: int) -> int:
        """What a command has in its reserved bits, of parameter | payload << 16."""
        mask = sum(((1 << field.width) - 1) << field.low for field in self.fields if not field.name)
        return (parameter | payload << 16) & mask


def definitions(family: str) -> dict[tuple[int, bool], Definition]:
    """The commands of "u55", "u65" or "u85", by opcode and whether a payload follows."""
    text = _COMMON + (_U85 if family == "u85" else _U55_AND_U65)
    found = (_parse(line) for line in text.strip().splitlines() if line)
    return {(definition.opcode, definition.wide): definition for definition in found}


def value_names(family: str) -> dict[str, dict[int, str]]:
    """By field the published names of its values, on that family."""
    return {**_VALUES, **(_VALUES_U85 if family == "u85" else _VALUES_U55_AND_U65)}


def _parse(line: str) -> Definition:
    kind, *rest = line.split()
    opcode = int(rest.pop(0), 16) if rest[0][0].isdigit() else _opcode_of(kind, rest[0])
    name, *fields = rest
    low = 0
    parsed = []
    for field in fields:
        label, _, width = field.partition(":")
        bits = int(width or 1)
        parsed.append(Field("" if label == "-" else label, low, bits))
        low += bits
    return Definition(opcode, kind == "wide", name, tuple(parsed))


def _opcode_of(kind: str, name: str) -> int:
    """The number of OP_CONV, SET_IFM_PAD_TOP, SET_IFM_BASE0 in opcodes.py."""
    prefix, _, short = name.partition("_")
    numbers: type[IntEnum] = SetWide if kind == "wide" else Op if prefix == "OP" else Set
    return numbers[short].value


def signed(value: int, bits: int) -> int:
    """A field of `bits` bits as a number in two's complement."""
    return value - (1 << bits) if value >> (bits - 1) else value


def signed_stride(value: int) -> int:
    """A stride of 32 bits in two's complement, or of 40."""
    return signed(value, 32 if value < 1 << 32 else 40)
