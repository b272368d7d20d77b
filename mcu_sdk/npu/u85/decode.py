"""A U85's command stream as the operations that it starts, each with the registers as they stand then.

Registers go by the names of encodings.py. What is not defined there, and what is defined and not simulated, is an error
that names the command.
"""

from __future__ import annotations

from mcu_sdk.npu.encodings import signed, signed_stride
from mcu_sdk.npu.opcodes import Upscale
from mcu_sdk.npu.operations import Dma, FeatureMap, Kernel, Scale, Stretch, Window
from mcu_sdk.npu.stream import CommandStream
from mcu_sdk.npu.u85.operations import (
    Accumulator,
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
from mcu_sdk.npu.u85.registers import Registers, Shape

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
_SCALAR, _NOT_STORED = 8, 3
_FROM_IFM2 = 2


def decode(stream: CommandStream) -> list[Operation]:
    """Every operation of a stream for a U85, in order. Raises SimulationError for what has no meaning here."""
    return _Decoder(stream).run()


class _Decoder:
    def __init__(self, stream: CommandStream) -> None:
        accelerator = stream.config.accelerator
        self._stream = stream
        self._macs, self._cores = accelerator.macs, accelerator.cores
        self._registers = Registers(stream)

    def run(self) -> list[Operation]:
        operations: list[Operation] = []
        for command in self._stream.commands:
            name, fields = self._registers.read(command)
            if name == "OP_STOP":
                return operations
            if not name.startswith("SET_") and name not in _NO_EFFECT:
                operations.append(self._start(name, fields))
        return self._registers.refuse("the stream ends without STOP")

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
            self._registers.refuse(f"it needs the register {error.args[0]}, which nothing has set")
        return self._registers.refuse("it is not simulated")

    # ---- operations

    def _convolution(self, depthwise: bool, weights_ifm2: bool) -> Convolution:
        output = self._output()
        window = self._window(output.shape)
        addend = None
        if not weights_ifm2 and self._registers["SET_ACC_FORMAT"]["acc_input"] == _FROM_IFM2:
            addend = self._registers.feature_map("IFM2", output.shape)
        else:
            self._check_accumulator_input("RESET")
        weights: Packed | FeatureMap
        if weights_ifm2:
            # The output's channels are the rows of the matrix.
            weights = self._registers.feature_map("IFM2", (1, output.shape[2], window.ifm.shape[2]))
        else:
            weights = self._packed()
        return Convolution(
            index=self._registers.command.index,
            depthwise=depthwise,
            window=window,
            weights=weights,
            addend=addend,
            block_depth=self._registers.get("SET_OFM_BLK_DEPTH_M1") + 1,
            ublock_depth=self._ublock_depth(),
            accumulator=self._accumulator(),
            output=output,
        )

    def _packed(self) -> Packed:
        layout = self._registers["SET_WEIGHT_FORMAT"]
        if layout["weight_sparsity"]:
            self._registers.refuse("its weights are sparse (SPARSE_2_4), which is not simulated")
        fast = bool(layout["weight_format"])
        streams = []
        for core in range(1 if fast else self._cores):
            number = core or ""
            if self._registers.get(f"SET_WEIGHT{number}_LENGTH"):
                streams.append(
                    self._registers.stretch("WEIGHT_REGION", f"WEIGHT{number}_BASE", f"WEIGHT{number}_LENGTH")
                )
        return Packed(tuple(streams), fast, self._scales())

    def _scales(self) -> Stretch:
        return self._registers.stretch("SCALE_REGION", "SCALE_BASE", "SCALE_LENGTH")

    def _pooling(self, mode: Pooling) -> PoolingOperation:
        output = self._output()
        source = None
        if mode is Pooling.NONE:
            self._check_accumulator_input("IFM2")
            source = self._registers.feature_map("IFM2", output.shape)
        else:
            self._check_accumulator_input("RESET")
        return PoolingOperation(
            index=self._registers.command.index,
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
            self._registers.command.index, mode, self._operand("IFM", output.shape), second, output
        )

    def _operand(self, prefix: str, shape: Shape) -> Operand:
        broadcast = self._registers.get(f"SET_{prefix}_BROADCAST")
        kind = self._registers.element_type(f"SET_{prefix}_PRECISION")
        zero_point = self._registers.zero_point(prefix, kind)
        value: Tensor | int
        if broadcast == _SCALAR:
            if self._registers[f"SET_{prefix}_PRECISION"]["activation_storage"] != _NOT_STORED:
                self._registers.refuse(f"{prefix} is a number and a feature map at once")
            value = signed(self._registers.get("SET_OP_SCALAR"), 32)
        else:
            sizes = [1 if broadcast >> axis & 1 else size for axis, size in enumerate(shape)]
            value = self._registers.tensor(prefix, (sizes[0], sizes[1], sizes[2]))
        register = self._registers[f"SET_{prefix}_SCALE"]
        scale = InputScale(
            register["scale"], register["shift"], register["dbl_rnd"], Rounding(register["round_mode"])
        )
        return Operand(value, zero_point, kind, scale)

    def _resize(self, mode: ResizeMode) -> Resize:
        output = self._output()
        rows, columns = (
            self._registers.get("SET_KERNEL_HEIGHT_M1") + 1,
            self._registers.get("SET_KERNEL_WIDTH_M1") + 1,
        )
        scale = (
            self._registers.get("SET_RESIZE_Y_SCALE_N_M1") + 1,
            self._registers.get("SET_RESIZE_X_SCALE_N_M1") + 1,
        )
        steps, offsets = [], []
        for axis, size in zip("YX", scale, strict=True):
            register = self._registers[f"SET_RESIZE_{axis}"]
            steps.append(register["one_step_int"] * size + register["one_step_mod"])
            offsets.append(signed(self._registers.get(f"SET_RESIZE_{axis}_OFFSET"), 12))
        ifm = self._registers.feature_map("IFM", (rows, columns, self._registers.get("SET_IFM_DEPTH_M1") + 1))
        return Resize(
            self._registers.command.index,
            mode,
            ifm,
            scale,
            (steps[0], steps[1]),
            (offsets[0], offsets[1]),
            output,
        )

    def _dma(self) -> Dma | DmaOfRows:
        source, target = self._registers["SET_DMA0_SRC_REGION"], self._registers["SET_DMA0_DST_REGION"]
        is_indexed = source["idx_mode"] + target["idx_mode"]
        inside = source["region_mode"] + target["region_mode"]
        if inside == 0 and is_indexed == 1:
            return self._dma_of_rows(source, target)
        if source["region_mode"] or source["stride_mode"] or source["idx_mode"] or target["idx_mode"]:
            self._registers.refuse(
                f"its source is {source}, its target {target}: only one stretch of bytes, and rows at indices, are "
                "simulated"
            )
        length = self._registers.address("SET_DMA0_LEN")
        begin = self._registers.address("SET_DMA0_DST")
        stretch = Stretch(source["region"], self._registers.address("SET_DMA0_SRC"), length)
        if target["region_mode"]:
            return Dma(self._registers.command.index, stretch, None, begin)
        return Dma(self._registers.command.index, stretch, Stretch(target["region"], begin, length), None)

    def _dma_of_rows(self, source: dict[str, int], target: dict[str, int]) -> DmaOfRows:
        if source["stride_mode"] > 1:
            self._registers.refuse("a DMA in three dimensions is not simulated")
        rows = self._registers.get("SET_DMA0_SIZE0") if source["stride_mode"] else 1
        length = self._registers.address("SET_DMA0_LEN")
        strides = [
            signed_stride(self._registers.address(f"SET_DMA0_{end}_STRIDE0"))
            if rows > 1 or side["idx_mode"]
            else 0
            for end, side in (("SRC", source), ("DST", target))
        ]
        return DmaOfRows(
            index=self._registers.command.index,
            source=Stretch(source["region"], self._registers.address("SET_DMA0_SRC"), length),
            target=Stretch(target["region"], self._registers.address("SET_DMA0_DST"), length),
            rows=rows,
            source_stride=strides[0],
            target_stride=strides[1],
            indices=Stretch(
                self._registers.get("SET_DMA0_IDX_REGION"), self._registers.address("SET_DMA0_IDX"), 4 * rows
            ),
            greatest_index=self._registers.get("SET_DMA0_IDX_MAX"),
            gathers=not target["idx_mode"],
        )

    # ---- parts of operations

    def _output(self) -> Output:
        precision = self._registers["SET_OFM_PRECISION"]
        shape = (
            self._registers.get("SET_OFM_HEIGHT_M1") + 1,
            self._registers.get("SET_OFM_WIDTH_M1") + 1,
            self._registers.get("SET_OFM_DEPTH_M1") + 1,
        )
        transpose = _TRANSPOSES[precision["activation_transpose"]]
        reverse = precision["activation_reverse"]
        register = self._registers["SET_OFM_SCALE"]
        if register["dbl_rnd"]:
            self._registers.refuse(f"the output's dbl_rnd is {register['dbl_rnd']}, which is not simulated")
        if self._registers["SET_ACC_FORMAT"]["acc_output"]:
            self._registers.refuse(
                "the accumulators are kept for a later operation (acc_output), which is not simulated"
            )
        activation = self._registers["SET_ACTIVATION"]
        kind = self._registers.element_type("SET_OFM_PRECISION")
        limits = None
        if not activation["activation_clip_range"]:
            is_signed = (
                self._table_input_is_signed(activation) if activation["activation_function"] else kind.signed
            )
            low, high = (self._registers.get(f"SET_ACTIVATION_{end}") for end in ("MIN", "MAX"))
            limits = (signed(low, 16), signed(high, 16)) if is_signed else (low, high)
        return Output(
            ofm=self._registers.tensor(
                "OFM", (shape[transpose[0]], shape[transpose[1]], shape[transpose[2]])
            ),
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
            self._registers.refuse("kernels in parts of 4 x 4 are not simulated")
        kernel = Kernel(
            height=self._registers.get("SET_KERNEL_HEIGHT_M1") + 1,
            width=self._registers.get("SET_KERNEL_WIDTH_M1") + 1,
            stride_y=1 + bits["stride_y_lsb"] + 2 * bits["stride_y_msb"],
            stride_x=1 + bits["stride_x_lsb"] + 2 * bits["stride_x_msb"],
            dilation_y=1 + bits["dilation_y"],
            dilation_x=1 + bits["dilation_x"],
            part_kernel=bool(bits["weight_order"]),
        )
        top, left, right, bottom = (
            self._registers.get(f"SET_IFM_PAD_{side}") for side in ("TOP", "LEFT", "RIGHT", "BOTTOM")
        )
        upscale = self._registers.known(Upscale, self._registers.get("SET_IFM_UPSCALE"))
        if upscale is not Upscale.NONE:
            self._registers.refuse(
                f"an input that is made larger (IFM_UPSCALE {upscale.name}) is not simulated"
            )
        height = (shape[0] - 1) * kernel.stride_y + kernel.height - top - bottom
        width = (shape[1] - 1) * kernel.stride_x + kernel.width - left - right
        if height < 1 or width < 1:
            self._registers.refuse(f"its input would be {height} high and {width} wide")
        depth = self._registers.get("SET_IFM_DEPTH_M1") + 1
        return Window(
            self._registers.feature_map("IFM", (height, width, depth)),
            kernel,
            upscale,
            top,
            left,
            bottom,
            right,
        )

    # ---- fields

    def _accumulator(self) -> Accumulator:
        return self._registers.known(Accumulator, self._registers["SET_ACC_FORMAT"]["acc_format"])

    def _check_accumulator_input(self, wanted: str) -> None:
        found = self._registers.meaning("acc_input", self._registers["SET_ACC_FORMAT"]["acc_input"])
        if found != wanted:
            self._registers.refuse(f"its accumulators begin with {found}; only {wanted} is simulated")

    def _ublock_depth(self) -> int:
        """Channels of the smallest block: the MACs are 16 products deep for 8 channels ... of each of its elements."""
        return self._macs // 8 // _MICROBLOCKS[self._registers["SET_ACC_FORMAT"]["microblock"]]
