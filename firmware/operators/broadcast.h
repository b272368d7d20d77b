// What the wrappers of operators that broadcast or permute work out.
#pragma once

#include "kernels/elementwise/broadcast.h"
#include "operators/arguments.h"

namespace mcu {

// The table of kernels/elementwise/broadcast.h for two operands; neighbouring axes are joined where that is possible.
struct Broadcast {
    int32_t sizes[3 * kMcuBroadcastAxes];  // those of the output, then the strides of each operand
    int32_t axes;

    // Fills it; false where a shape does not broadcast to the output's, or too many axes are left.
    bool fits(const Operand& a, const Operand& b, const Operand& out);
};

// The table of kernels/layout/strided_copy.h for a permutation of axes.
struct Permutation {
    int32_t sizes[3 * kMcuBroadcastAxes];  // those of the output, then the strides of the input, then of the output
    int32_t axes;
    int32_t element_size;

    // Fills it; false where `order` is no permutation that gives the output, or too many axes are left.
    bool fits(const Operand& x, const Integers& order, const Operand& out);
};

}  // namespace mcu
