"""A command stream as the operations that it starts, each with the registers as they stand then.

Registers keep their values from one operation to the next; an operation here is complete and refers to none. What the
encoding of a field does not define is an error that names the command.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NoReturn, TypeVar

from mcu_sdk.npu.encodings import definitions, signed, signed_stride
from mcu_sdk.npu.errors import MiscompiledError, SimulationError
from mcu_sdk.npu.opcodes import (
    SCALES,
    Accumulator,
    Elementwise,
    IfmScale,
    Op,
    Pooling,
    Rounding,
    Set,
    SetWide,
    Upscale,
)
from mcu_sdk.npu.operations import (
    Convolution,
    Dma,
    ElementType,
    ElementwiseOperation,
    FeatureMap,
    Kernel,
    Operation,
    Output,
    PoolingOperation,
    Scale,
    Stretch,
    Window,
)
from mcu_sdk.npu.stream import Command, CommandStream

Field = TypeVar("Field", bound=IntEnum)


_ELEMENT_BITS = {0: 8, 1: 16, 2: 32}
_FORCED_TO_16_BITS = 5
"""In bits 14:12 of ACTIVATION: FORCE_INT16."""
_NO_EFFECT = {Op.IRQ, Op.DMA_WAIT, Op.KERNEL_WAIT, Op.PMU_MASK}
"""Nothing here runs side by side, so that there is nothing to wait for."""


_NAMES: tuple[tuple[type[IntEnum], str], ...] = ((Op, "NPU_OP_"), (Set, "NPU_SET_"))
_WIDE_NAMES: tuple[tuple[type[IntEnum], str], ...] = ((SetWide, "NPU_SET_"),)


def decode(stream: CommandStream) -> list[Operation]:
    """Every operation of a stream for a U55 or U65, in order. Raises SimulationError for what has no defined meaning."""
    return _Decoder(stream).run()


FIXED_SHIFT = {8: 19, 16: 14}
"""By an operand's bits, how far it is shifted to the left where the other one has a scale of 32 bits."""


class _Decoder:
    def __init__(self, stream: CommandStream) -> None:
        self._stream = stream
        self._cores = stream.config.accelerator.cores
        self._small: dict[int, int] = {}
        self._wide: dict[int, int] = {}
        self._shift: dict[int, int] = {}
        self._command = Command(0, 0, 0)
        self._definitions = definitions(stream.config.accelerator.family)

    def run(self) -> list[Operation]:
        operations: list[Operation] = []
        for command in self._stream.commands:
            self._command = command
            self._check(command)
            if command.payload is not None:
                self._set_wide(command)
            elif command.opcode >= 0x100:
                self._set(command)
            else:
                operation = self._known(Op, command.opcode)
                if operation is Op.STOP:
                    return operations
                started = self._start(operation)
                if started is not None:
                    operations.append(started)
        return self._refuse("the stream ends without STOP")

    def _check(self, command: Command) -> None:
        """The command is one that the family has, and what is reserved in it is zero."""
        definition = self._definitions.get((command.opcode, command.payload is not None))
        if definition is None:
            self._refuse("it is not known")
        value = definition.reserved(command.parameter, command.payload or 0)
        if value:
            self._refuse(f"its reserved bits hold {value:#x}")

    def _set(self, command: Command) -> None:
        self._small[self._known(Set, command.opcode)] = command.parameter

    def _set_wide(self, command: Command) -> None:
        register = self._known(SetWide, command.opcode)
        assert command.payload is not None
        if register in SCALES:
            self._wide[register], self._shift[register] = command.payload, command.parameter & 63
        else:
            self._wide[register] = command.payload | (command.parameter & 0xFF) << 32

    def _start(self, operation: Op) -> Operation | None:
        if operation in _NO_EFFECT:
            return None
        try:
            if operation is Op.DMA_START:
                return self._dma()
            if operation is Op.ELEMENTWISE:
                return self._elementwise()
            if operation is Op.POOL:
                return self._pooling()
            return self._convolution(depthwise=operation is Op.DEPTHWISE)
        except KeyError as error:
            register = error.args[0]
            self._refuse(
                f"it needs the register {getattr(register, 'name', register)}, which nothing has set"
            )

    # ---- operations

    def _convolution(self, depthwise: bool) -> Convolution:
        output = self._output(scale=SetWide.OFM_SCALE)
        window = self._window(output.ofm)
        weights = [self._stretch(Set.WEIGHT_REGION, SetWide.WEIGHT_BASE, SetWide.WEIGHT_LENGTH)]
        scales = [self._stretch(Set.SCALE_REGION, SetWide.SCALE_BASE, SetWide.SCALE_LENGTH)]
        if self._small.get(Set.PARALLEL_MODE, 0) != self._cores - 1:
            self._refuse(f"PARALLEL_MODE is {self._small.get(Set.PARALLEL_MODE, 0)} on {self._cores} core(s)")
        if self._cores == 2 and self._wide.get(SetWide.WEIGHT1_LENGTH):
            weights.append(self._stretch(Set.WEIGHT_REGION, SetWide.WEIGHT1_BASE, SetWide.WEIGHT1_LENGTH))
            scales.append(self._stretch(Set.SCALE_REGION, SetWide.SCALE1_BASE, SetWide.SCALE1_LENGTH))
        return Convolution(
            index=self._command.index,
            depthwise=depthwise,
            window=window,
            weights=tuple(weights),
            scales=tuple(scales),
            block_depth=self._small[Set.OFM_BLK_DEPTH_M1] + 1,
            accumulator=self._accumulator(),
            output=output,
        )

    def _pooling(self) -> PoolingOperation:
        output = self._output(scale=SetWide.OFM_SCALE)
        mode = self._known(Pooling, self._command.parameter)
        return PoolingOperation(
            self._command.index, mode, self._window(output.ofm), self._accumulator(), output
        )

    def _elementwise(self) -> ElementwiseOperation:
        mode = self._known(Elementwise, self._command.parameter)
        output = self._output(scale=SetWide.OFM_SCALE)
        precision = self._small[Set.IFM_PRECISION]
        shape = output.ofm.shape
        second: FeatureMap | int | None = None
        second_zero_point, is_reversed = 0, False
        if mode not in (Elementwise.LRELU, Elementwise.ABS, Elementwise.CLZ):
            second, second_zero_point, is_reversed = self._second(shape)
        first = self._ifm(shape)
        scaling = self._known(IfmScale, precision >> 8 & 3)
        if mode in (Elementwise.ADD, Elementwise.SUB) and scaling is not IfmScale.BOTH:
            self._check_scales(first.type.bits)
        return ElementwiseOperation(
            index=self._command.index,
            mode=mode,
            first=first,
            second=second,
            second_zero_point=second_zero_point,
            reversed=is_reversed,
            scaling=scaling,
            input_rounding=self._known(Rounding, precision >> 14 & 3),
            first_scale=self._scale(SetWide.OPA_SCALE),
            second_scale=self._scale(SetWide.OPB_SCALE),
            output=output,
        )

    def _check_scales(self, bits: int) -> None:
        """Of a sum of which one operand is scaled by 32 bits, the other shifted by as much as its type decides."""
        scaled, other = self._scale(SetWide.OPA_SCALE), self._scale(SetWide.OPB_SCALE)
        if scaled.shift == 0 and other.scale not in (1, 1 << FIXED_SHIFT.get(bits, 0)):
            # Vela 5.1.0 does this to a sum whose operands' factors are whole numbers of 16 bits and not the same.
            self._refuse(
                f"its operands have the factors {scaled.scale} and {other.scale}, of which it would take a power of two for "
                "the second: the compiler's mistake, the result would be wrong",
                MiscompiledError,
            )

    def _second(self, shape: tuple[int, int, int]) -> tuple[FeatureMap | int, int, bool]:
        """IFM2: a feature map or a number, its zero point, and whether it comes first."""
        broadcast = self._small[Set.IFM2_BROADCAST]
        if broadcast & ~0xC7:
            self._refuse(f"IFM2_BROADCAST is {broadcast:#x}")
        kind = self._ifm_type(self._small[Set.IFM2_PRECISION])
        zero_point = self._number(self._small[Set.IFM2_ZERO_POINT], kind)
        is_reversed = bool(broadcast >> 6 & 1)
        if broadcast >> 7 & 1:
            return self._number(self._small[Set.IFM2_SCALAR], kind), zero_point, is_reversed
        height, width, depth = (1 if broadcast >> axis & 1 else size for axis, size in enumerate(shape))
        registers = (Set.IFM2_HEIGHT0_M1, Set.IFM2_HEIGHT1_M1, Set.IFM2_WIDTH0_M1, Set.IFM2_REGION)
        second = self._feature_map(
            (height, width, depth),
            kind,
            self._small[Set.IFM2_PRECISION],
            registers,
            SetWide.IFM2_BASE0,
            zero_point,
        )
        return second, zero_point, is_reversed

    def _dma(self) -> Dma:
        source_region, region = self._small[Set.DMA0_SRC_REGION], self._small[Set.DMA0_DST_REGION]
        for value in (source_region, region):
            if value & ~0x107 or source_region & 0x100:
                self._refuse(f"the regions of the DMA are {source_region:#x} and {region:#x}")
        length = self._wide[SetWide.DMA0_LEN]
        source = Stretch(source_region & 7, self._wide[SetWide.DMA0_SRC], length)
        target = self._wide[SetWide.DMA0_DST]
        if region & 0x100:
            return Dma(self._command.index, source, None, target)
        return Dma(self._command.index, source, Stretch(region & 7, target, length), None)

    # ---- parts of operations

    def _output(self, scale: SetWide) -> Output:
        precision = self._small[Set.OFM_PRECISION]
        if precision & ~0xC1C7:
            self._refuse(f"OFM_PRECISION is {precision:#x}")
        kind = self._type(precision >> 1 & 3, precision & 1)
        shape = (
            self._small[Set.OFM_HEIGHT_M1] + 1,
            self._small[Set.OFM_WIDTH_M1] + 1,
            self._small[Set.OFM_DEPTH_M1] + 1,
        )
        registers = (Set.OFM_HEIGHT0_M1, Set.OFM_HEIGHT1_M1, Set.OFM_WIDTH0_M1, Set.OFM_REGION)
        zero_point = self._number(self._small[Set.OFM_ZERO_POINT], kind)
        ofm = self._feature_map(shape, kind, precision, registers, SetWide.OFM_BASE0, zero_point)
        activation = self._small[Set.ACTIVATION]
        function, clip = activation & 0xFFF, activation >> 12
        forced = clip == _FORCED_TO_16_BITS and kind.bits == 32  # Vela 5.2.0 writes it, and for 32 bits alone
        if (clip and not forced) or (function and not 16 <= function <= 23):
            self._refuse(f"ACTIVATION is {activation:#x}")
        return Output(
            ofm=ofm,
            scale=self._scale(scale) if precision >> 8 & 1 else None,
            rounding=self._known(Rounding, precision >> 14 & 3),
            minimum=self._number(self._small[Set.ACTIVATION_MIN], kind),
            maximum=self._number(self._small[Set.ACTIVATION_MAX], kind),
            table=function - 16 if function else None,
            forced=forced,
        )

    def _window(self, ofm: FeatureMap) -> Window:
        if self._small[Set.IFM_PRECISION] >> 8 & 3:
            self._refuse(
                f"IFM_PRECISION is {self._small[Set.IFM_PRECISION]:#x}: only elementwise inputs are scaled"
            )
        bits = self._small[Set.KERNEL_STRIDE]
        if bits & ~0x25F:
            self._refuse(f"KERNEL_STRIDE is {bits:#x}")
        kernel = Kernel(
            height=self._small[Set.KERNEL_HEIGHT_M1] + 1,
            width=self._small[Set.KERNEL_WIDTH_M1] + 1,
            stride_y=1 + (bits >> 1 & 1) + 2 * (bits >> 9 & 1),
            stride_x=1 + (bits & 1) + 2 * (bits >> 6 & 1),
            dilation_y=1 + (bits >> 4 & 1),
            dilation_x=1 + (bits >> 3 & 1),
            part_kernel=bool(bits >> 2 & 1),
        )
        top, left, right, bottom = (
            self._small[register]
            for register in (Set.IFM_PAD_TOP, Set.IFM_PAD_LEFT, Set.IFM_PAD_RIGHT, Set.IFM_PAD_BOTTOM)
        )
        upscale = self._known(Upscale, self._small[Set.IFM_UPSCALE])
        height = (ofm.shape[0] - 1) * kernel.stride_y + kernel.height - top - bottom
        width = (ofm.shape[1] - 1) * kernel.stride_x + kernel.width - left - right
        if upscale is not Upscale.NONE:
            height, width = -(-height // 2), -(-width // 2)
        if max(top, bottom) >= kernel.height or max(left, right) >= kernel.width:
            # Vela 5.1.0 does this to a linear over several rows with a look-up table behind it: of the input, which
            # it had folded into rows and columns, only the first column would be read.
            self._refuse(
                f"it pads by {top}, {left}, {bottom}, {right} (top, left, bottom, right), as much as its kernel of "
                f"{kernel.height} x {kernel.width} covers: the compiler's mistake, the result would be wrong",
                MiscompiledError,
            )
        if height < 1 or width < 1:
            self._refuse(f"its input would be {height} high and {width} wide")
        depth = self._small[Set.IFM_DEPTH_M1] + 1
        return Window(self._ifm((height, width, depth)), kernel, upscale, top, left, bottom, right)

    def _ifm(self, shape: tuple[int, int, int]) -> FeatureMap:
        precision = self._small[Set.IFM_PRECISION]
        if precision & ~0xC34D:
            self._refuse(f"IFM_PRECISION is {precision:#x}")
        kind = self._ifm_type(precision)
        registers = (Set.IFM_HEIGHT0_M1, Set.IFM_HEIGHT1_M1, Set.IFM_WIDTH0_M1, Set.IFM_REGION)
        zero_point = self._number(self._small[Set.IFM_ZERO_POINT], kind)
        return self._feature_map(shape, kind, precision, registers, SetWide.IFM_BASE0, zero_point)

    def _feature_map(
        self,
        shape: tuple[int, int, int],
        kind: ElementType,
        precision: int,
        registers: tuple[Set, Set, Set, Set],
        base: SetWide,
        zero_point: int,
    ) -> FeatureMap:
        height0, height1, width0, region = (self._small[register] for register in registers)
        if region > 7:
            self._refuse(f"a feature map lies in region {region}")
        wide = [self._wide[SetWide(base + offset)] for offset in range(7)]
        stride_x, stride_y, stride_c = map(signed_stride, wide[4:])
        return FeatureMap(
            shape=shape,
            type=kind,
            region=region,
            bases=(wide[0], wide[1], wide[2], wide[3]),
            height0=height0 + 1,
            height1=height1 + 1,
            width0=width0 + 1,
            stride_y=stride_y,
            stride_x=stride_x,
            stride_c=stride_c,
            bricks=bool(precision >> 6 & 1),
            zero_point=zero_point,
        )

    # ---- fields

    def _accumulator(self) -> Accumulator:
        found = self._known(Accumulator, self._small[Set.ACC_FORMAT])
        if found is Accumulator.F16:
            self._refuse("accumulators of 16-bit floats are not simulated")
        return found

    def _stretch(self, region: Set, base: SetWide, length: SetWide) -> Stretch:
        return Stretch(self._small[region] & 7, self._wide[base], self._wide[length])

    def _scale(self, register: SetWide) -> Scale:
        return Scale(self._wide.get(register, 1), self._shift.get(register, 0))

    def _ifm_type(self, precision: int) -> ElementType:
        return self._type(precision >> 2 & 3, precision & 1)

    def _type(self, size: int, signed: int) -> ElementType:
        if size not in _ELEMENT_BITS:
            self._refuse(f"elements of the size {size} are not defined")
        return ElementType(_ELEMENT_BITS[size], bool(signed))

    def _number(self, value: int, kind: ElementType) -> int:
        """A 16-bit register as a number of a feature map's kind."""
        return signed(value, 16) if kind.signed else value

    def _known(self, names: type[Field], value: int) -> Field:
        try:
            return names(value)
        except ValueError:
            self._refuse(f"{value:#x} is no {names.__name__}")

    def _refuse(self, what: str, error: type[SimulationError] = SimulationError) -> NoReturn:
        command = self._command
        raise error(command.index, command_name(command), what)


def command_name(command: Command) -> str:
    """ "NPU_OP_CONV", "NPU_SET_IFM_BASE0", or the number of an unknown one."""
    kinds = _WIDE_NAMES if command.payload is not None else _NAMES
    for names, prefix in kinds:
        if command.opcode in names._value2member_map_:
            return prefix + names(command.opcode).name
    return f"{command.opcode:#05x}"
