"""A U85's command stream as the operations that it starts, each with the registers as they stand then.

Registers go by the names of encodings.py. What is not defined there, and what is defined and not simulated, is an error
that names the command.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NoReturn, TypeVar

from mcu_sdk.npu.encodings import Definition, definitions, value_names
from mcu_sdk.npu.errors import SimulationError
from mcu_sdk.npu.opcodes import Upscale
from mcu_sdk.npu.operations import Dma, ElementType, FeatureMap, Kernel, Scale, Stretch, Window
from mcu_sdk.npu.stream import Command, CommandStream
from mcu_sdk.npu.u85.operations import (
    Accumulator,
    Chained,
    Convolution,
    DmaOfRows,
    Elementwise,
    ElementwiseOperation,
    Function,
    InputScale,
    Operand,
    Operation,
    Output,
    Packed,
    Pooling,
    PoolingOperation,
    Resize,
    ResizeMode,
    Rounding,
    Table,
    Tensor,
)

Number = TypeVar("Number", bound=IntEnum)
Shape = tuple[int, int, int]

_NO_EFFECT = {"OP_IRQ", "OP_DMA_WAIT", "OP_KERNEL_WAIT", "OP_PMU_MASK"}
"""Nothing here runs side by side, so that there is nothing to wait for."""
_UNARY = {Elementwise.ABS, Elementwise.CLZ, Elementwise.NOT}
_TRANSPOSES = {0: (0, 1, 2), 1: (1, 0, 2), 2: (0, 2, 1), 3: (1, 2, 0), 6: (2, 0, 1), 7: (2, 1, 0)}
"""Axes of the result in terms of height, width, depth: WHC is 1."""
_MICROBLOCKS = {0: 1, 1: 2, 2: 4, 3: 4, 4: 8, 5: 16}
"""Height times width."""
_TABLE_BYTES = {
    Function.LUT_U8_U8: 256,
    Function.LUT_S8_S8: 256,
    Function.LUT_S8_S16: 512,
    Function.LUT_S8_S32: 1024,
}
_SCALAR, _TILED, _CHAINED, _NOT_STORED = 8, 0, 2, 3
_FROM_IFM2 = 2


def decode(stream: CommandStream) -> list[Operation]:
    """Every operation of a stream for a U85, in order. Raises SimulationError for what has no meaning here."""
    return _Decoder(stream).run()


class _Decoder:
    def __init__(self, stream: CommandStream) -> None:
        accelerator = stream.config.accelerator
        self._stream = stream
        self._macs, self._cores = accelerator.macs, accelerator.cores
        self._registers: dict[str, dict[str, int]] = {}
        self._command = Command(0, 0, 0)
        self._definitions = definitions(accelerator.family)
        self._values = value_names(accelerator.family)

    def run(self) -> list[Operation]:
        operations: list[Operation] = []
        for command in self._stream.commands:
            self._command = command
            definition = self._definitions.get((command.opcode, command.payload is not None))
            if definition is None:
                self._refuse("it is not known")
            fields = self._fields(definition)
            if definition.name == "OP_STOP":
                return operations
            if definition.name.startswith("SET_"):
                self._registers[definition.name] = fields
            elif definition.name not in _NO_EFFECT:
                operations.append(self._start(definition.name, fields))
        return self._refuse("the stream ends without STOP")

    def _fields(self, definition: Definition) -> dict[str, int]:
        """The command's fields; reserved bits and values without a name are refused."""
        word = self._command.parameter | (self._command.payload or 0) << 16
        reserved = definition.reserved(self._command.parameter, self._command.payload or 0)
        if reserved:
            self._refuse(f"its reserved bits hold {reserved:#x}")
        fields = {f.name: word >> f.low & ((1 << f.width) - 1) for f in definition.fields if f.name}
        for name, value in fields.items():
            if name in self._values and value not in self._values[name]:
                self._refuse(f"{name} is {value}, which is not defined")
        return fields

    def _start(self, name: str, fields: dict[str, int]) -> Operation:
        try:
            if name == "OP_DMA_START":
                return self._dma()
            if name == "OP_ELEMENTWISE":
                return self._elementwise(Elementwise(fields["elementwise_mode"]))
            if name == "OP_POOL":
                return self._pooling(Pooling(fields["pooling_mode"]))
            if name == "OP_RESIZE":
                return self._resize(ResizeMode(fields["resize_mode"]))
            if name in ("OP_CONV", "OP_DEPTHWISE"):
                return self._convolution(name == "OP_DEPTHWISE", bool(fields.get("weights_ifm2")))
        except KeyError as error:
            self._refuse(f"it needs the register {error.args[0]}, which nothing has set")
        return self._refuse("it is not simulated")

    # ---- operations

    def _convolution(self, depthwise: bool, weights_ifm2: bool) -> Convolution:
        output = self._output()
        window = self._window(output.shape)
        addend = None
        if not weights_ifm2 and self._registers["SET_ACC_FORMAT"]["acc_input"] == _FROM_IFM2:
            addend = self._feature_map("IFM2", output.shape)
        else:
            self._check_accumulator_input("RESET")
        weights: Packed | FeatureMap
        if weights_ifm2:
            # The output's channels are the rows of the matrix.
            weights = self._feature_map("IFM2", (1, output.shape[2], window.ifm.shape[2]))
        else:
            weights = self._packed()
        return Convolution(
            index=self._command.index,
            depthwise=depthwise,
            window=window,
            weights=weights,
            addend=addend,
            block_depth=self._get("SET_OFM_BLK_DEPTH_M1") + 1,
            ublock_depth=self._ublock_depth(),
            accumulator=self._accumulator(),
            output=output,
        )

    def _packed(self) -> Packed:
        layout = self._registers["SET_WEIGHT_FORMAT"]
        if layout["weight_sparsity"]:
            self._refuse("its weights are sparse (SPARSE_2_4), which is not simulated")
        fast = bool(layout["weight_format"])
        streams = []
        for core in range(1 if fast else self._cores):
            number = core or ""
            if self._get(f"SET_WEIGHT{number}_LENGTH"):
                streams.append(
                    self._stretch("WEIGHT_REGION", f"WEIGHT{number}_BASE", f"WEIGHT{number}_LENGTH")
                )
        return Packed(tuple(streams), fast, self._scales())

    def _scales(self) -> Stretch:
        return self._stretch("SCALE_REGION", "SCALE_BASE", "SCALE_LENGTH")

    def _pooling(self, mode: Pooling) -> PoolingOperation:
        output = self._output()
        source = None
        if mode is Pooling.NONE:
            self._check_accumulator_input("IFM2")
            source = self._feature_map("IFM2", output.shape)
        else:
            self._check_accumulator_input("RESET")
        return PoolingOperation(
            index=self._command.index,
            mode=mode,
            window=self._window(output.shape),
            source=source,
            scales=None if output.scale else self._scales(),
            accumulator=self._accumulator(),
            output=output,
        )

    def _elementwise(self, mode: Elementwise) -> ElementwiseOperation:
        output = self._output()
        second = None if mode in _UNARY else self._operand("IFM2", output.shape)
        return ElementwiseOperation(
            self._command.index, mode, self._operand("IFM", output.shape), second, output
        )

    def _operand(self, prefix: str, shape: Shape) -> Operand:
        broadcast = self._get(f"SET_{prefix}_BROADCAST")
        kind = self._type(f"SET_{prefix}_PRECISION")
        zero_point = self._number(self._get(f"SET_{prefix}_ZERO_POINT"), kind)
        value: Tensor | int
        if broadcast == _SCALAR:
            if self._registers[f"SET_{prefix}_PRECISION"]["activation_storage"] != _NOT_STORED:
                self._refuse(f"{prefix} is a number and a feature map at once")
            value = self._get("SET_OP_SCALAR")
            value -= (value >> 31) << 32
        else:
            sizes = [1 if broadcast >> axis & 1 else size for axis, size in enumerate(shape)]
            value = self._tensor(prefix, (sizes[0], sizes[1], sizes[2]))
        register = self._registers[f"SET_{prefix}_SCALE"]
        scale = InputScale(
            register["scale"], register["shift"], register["dbl_rnd"], Rounding(register["round_mode"])
        )
        return Operand(value, zero_point, kind, scale)

    def _resize(self, mode: ResizeMode) -> Resize:
        output = self._output()
        rows, columns = self._get("SET_KERNEL_HEIGHT_M1") + 1, self._get("SET_KERNEL_WIDTH_M1") + 1
        scale = (self._get("SET_RESIZE_Y_SCALE_N_M1") + 1, self._get("SET_RESIZE_X_SCALE_N_M1") + 1)
        steps, offsets = [], []
        for axis, size in zip("YX", scale, strict=True):
            register = self._registers[f"SET_RESIZE_{axis}"]
            steps.append(register["one_step_int"] * size + register["one_step_mod"])
            offset = self._get(f"SET_RESIZE_{axis}_OFFSET")
            offsets.append(offset - (offset >> 11 << 12))
        ifm = self._feature_map("IFM", (rows, columns, self._get("SET_IFM_DEPTH_M1") + 1))
        return Resize(
            self._command.index, mode, ifm, scale, (steps[0], steps[1]), (offsets[0], offsets[1]), output
        )

    def _dma(self) -> Dma | DmaOfRows:
        source, target = self._registers["SET_DMA0_SRC_REGION"], self._registers["SET_DMA0_DST_REGION"]
        is_indexed = source["idx_mode"] + target["idx_mode"]
        inside = source["region_mode"] + target["region_mode"]
        if inside == 0 and is_indexed == 1:
            return self._dma_of_rows(source, target)
        if source["region_mode"] or source["stride_mode"] or source["idx_mode"] or target["idx_mode"]:
            self._refuse(
                f"its source is {source}, its target {target}: only one stretch of bytes, and rows at indices, are "
                "simulated"
            )
        length = self._address("SET_DMA0_LEN")
        begin = self._address("SET_DMA0_DST")
        stretch = Stretch(source["region"], self._address("SET_DMA0_SRC"), length)
        if target["region_mode"]:
            return Dma(self._command.index, stretch, None, begin)
        return Dma(self._command.index, stretch, Stretch(target["region"], begin, length), None)

    def _dma_of_rows(self, source: dict[str, int], target: dict[str, int]) -> DmaOfRows:
        if source["stride_mode"] > 1:
            self._refuse("a DMA in three dimensions is not simulated")
        rows = self._get("SET_DMA0_SIZE0") if source["stride_mode"] else 1
        length = self._address("SET_DMA0_LEN")
        strides = [
            _signed(self._address(f"SET_DMA0_{end}_STRIDE0")) if rows > 1 or side["idx_mode"] else 0
            for end, side in (("SRC", source), ("DST", target))
        ]
        return DmaOfRows(
            index=self._command.index,
            source=Stretch(source["region"], self._address("SET_DMA0_SRC"), length),
            target=Stretch(target["region"], self._address("SET_DMA0_DST"), length),
            rows=rows,
            source_stride=strides[0],
            target_stride=strides[1],
            indices=Stretch(self._get("SET_DMA0_IDX_REGION"), self._address("SET_DMA0_IDX"), 4 * rows),
            greatest_index=self._get("SET_DMA0_IDX_MAX"),
            gathers=not target["idx_mode"],
        )

    # ---- parts of operations

    def _output(self) -> Output:
        precision = self._registers["SET_OFM_PRECISION"]
        shape = (
            self._get("SET_OFM_HEIGHT_M1") + 1,
            self._get("SET_OFM_WIDTH_M1") + 1,
            self._get("SET_OFM_DEPTH_M1") + 1,
        )
        transpose = _TRANSPOSES[precision["activation_transpose"]]
        reverse = precision["activation_reverse"]
        register = self._registers["SET_OFM_SCALE"]
        if register["dbl_rnd"]:
            self._refuse(f"the output's dbl_rnd is {register['dbl_rnd']}, which is not simulated")
        if self._registers["SET_ACC_FORMAT"]["acc_output"]:
            self._refuse(
                "the accumulators are kept for a later operation (acc_output), which is not simulated"
            )
        activation = self._registers["SET_ACTIVATION"]
        kind = self._type("SET_OFM_PRECISION")
        limits = None
        if not activation["activation_clip_range"]:
            signed = (
                self._table_input_is_signed(activation) if activation["activation_function"] else kind.signed
            )
            low, high = (self._get(f"SET_ACTIVATION_{end}") for end in ("MIN", "MAX"))
            limits = (low - (low >> 15 << 16), high - (high >> 15 << 16)) if signed else (low, high)
        return Output(
            ofm=self._tensor("OFM", (shape[transpose[0]], shape[transpose[1]], shape[transpose[2]])),
            shape=shape,
            scale=Scale(register["scale"], register["shift"]) if precision["scale_mode"] else None,
            rounding=Rounding(register["round_mode"]),
            limits=limits,
            table=self._table(activation),
            transpose=transpose,
            reverse=reverse - 1 if reverse else None,
        )

    def _table_input_is_signed(self, activation: dict[str, int]) -> bool:
        return activation["activation_function"] != Function.LUT_U8_U8

    def _table(self, activation: dict[str, int]) -> Table | None:
        if not activation["activation_function"]:
            return None
        function = Function(activation["activation_function"])
        return Table(function, activation["table"] * _TABLE_BYTES.get(function, 2048))

    def _window(self, shape: Shape) -> Window:
        bits = self._registers["SET_KERNEL_STRIDE"]
        if bits["decomposition"]:
            self._refuse("kernels in parts of 4 x 4 are not simulated")
        kernel = Kernel(
            height=self._get("SET_KERNEL_HEIGHT_M1") + 1,
            width=self._get("SET_KERNEL_WIDTH_M1") + 1,
            stride_y=1 + bits["stride_y_lsb"] + 2 * bits["stride_y_msb"],
            stride_x=1 + bits["stride_x_lsb"] + 2 * bits["stride_x_msb"],
            dilation_y=1 + bits["dilation_y"],
            dilation_x=1 + bits["dilation_x"],
            part_kernel=bool(bits["weight_order"]),
        )
        top, left, right, bottom = (
            self._get(f"SET_IFM_PAD_{side}") for side in ("TOP", "LEFT", "RIGHT", "BOTTOM")
        )
        upscale = self._known(Upscale, self._get("SET_IFM_UPSCALE"))
        if upscale is not Upscale.NONE:
            self._refuse(f"an input that is made larger (IFM_UPSCALE {upscale.name}) is not simulated")
        height = (shape[0] - 1) * kernel.stride_y + kernel.height - top - bottom
        width = (shape[1] - 1) * kernel.stride_x + kernel.width - left - right
        if height < 1 or width < 1:
            self._refuse(f"its input would be {height} high and {width} wide")
        depth = self._get("SET_IFM_DEPTH_M1") + 1
        return Window(
            self._feature_map("IFM", (height, width, depth)), kernel, upscale, top, left, bottom, right
        )

    def _feature_map(self, prefix: str, shape: Shape) -> FeatureMap:
        found = self._tensor(prefix, shape)
        if isinstance(found, Chained):
            self._refuse(
                f"its {prefix} comes from the operation before (CHAINED), which is simulated for OP_ELEMENTWISE"
            )
        return found

    def _tensor(self, prefix: str, shape: Shape) -> Tensor:
        """IFM, IFM2 or OFM."""
        precision = self._registers[f"SET_{prefix}_PRECISION"]
        storage, kind = precision["activation_storage"], self._type(f"SET_{prefix}_PRECISION")
        region = self._get(f"SET_{prefix}_REGION")
        zero_point = self._number(self._get(f"SET_{prefix}_ZERO_POINT"), kind)
        if storage == _CHAINED:
            return Chained(region, shape, kind, zero_point)
        if storage != _TILED:
            self._refuse(
                f"{prefix} is stored as {self._values['activation_storage'][storage]}, which is not simulated"
            )
        stride_x, stride_y, stride_c = (
            _signed(self._address(f"SET_{prefix}_STRIDE_{axis}")) for axis in "XYC"
        )
        return FeatureMap(
            shape=shape,
            type=kind,
            region=region,
            bases=(
                self._address(f"SET_{prefix}_BASE0"),
                self._address(f"SET_{prefix}_BASE1"),
                self._address(f"SET_{prefix}_BASE2"),
                self._address(f"SET_{prefix}_BASE3"),
            ),
            height0=self._get(f"SET_{prefix}_HEIGHT0_M1") + 1,
            height1=self._get(f"SET_{prefix}_HEIGHT1_M1") + 1,
            width0=self._get(f"SET_{prefix}_WIDTH0_M1") + 1,
            stride_y=stride_y,
            stride_x=stride_x,
            stride_c=stride_c,
            bricks=bool(precision["activation_format"]),
            zero_point=zero_point,
        )

    # ---- fields

    def _accumulator(self) -> Accumulator:
        return self._known(Accumulator, self._registers["SET_ACC_FORMAT"]["acc_format"])

    def _check_accumulator_input(self, wanted: str) -> None:
        found = self._values["acc_input"][self._registers["SET_ACC_FORMAT"]["acc_input"]]
        if found != wanted:
            self._refuse(f"its accumulators begin with {found}; only {wanted} is simulated")

    def _ublock_depth(self) -> int:
        """Channels of the smallest block: the MACs are 16 products deep for 8 channels ... of each of its elements."""
        return self._macs // 8 // _MICROBLOCKS[self._registers["SET_ACC_FORMAT"]["microblock"]]

    def _get(self, name: str) -> int:
        """A register with one field."""
        (value,) = self._registers[name].values()
        return value

    def _address(self, name: str) -> int:
        register = self._registers[name]
        return register["low"] | register["high"] << 32

    def _stretch(self, region: str, base: str, length: str) -> Stretch:
        return Stretch(self._get(f"SET_{region}"), self._address(f"SET_{base}"), self._get(f"SET_{length}"))

    def _type(self, name: str) -> ElementType:
        register = self._registers[name]
        bits = 8 << register["activation_precision"]
        if bits > 32:
            self._refuse("feature maps of 64 bits are not simulated")
        return ElementType(bits, bool(register["activation_type"]))

    def _number(self, value: int, kind: ElementType) -> int:
        """A 16-bit register as a number of a feature map's kind."""
        return value - (1 << 16) if kind.signed and value >> 15 else value

    def _known(self, names: type[Number], value: int) -> Number:
        try:
            return names(value)
        except ValueError:
            self._refuse(f"{value:#x} is no {names.__name__}")

    def _refuse(self, what: str) -> NoReturn:
        command = self._command
        definition = self._definitions.get((command.opcode, command.payload is not None))
        name = f"NPU_{definition.name}" if definition else f"{command.opcode:#05x}"
        raise SimulationError(command.index, name, what)


def _signed(stride: int) -> int:
    """A stride of 32 bits in two's complement, or of 40."""
    bits = 32 if stride < 1 << 32 else 40
    return stride - (1 << bits) if stride >> (bits - 1) else stride
