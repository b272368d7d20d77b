// What the wrappers of operators that broadcast, permute or pad work out.
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

    // Fills it for `count` elements and one that repeats.
    bool repeats(int64_t count);
};

// The table of kernels/layout/strided_copy.h for a permutation of axes.
struct Permutation {
    int32_t sizes[3 * kMcuBroadcastAxes];  // those of the output, then the strides of the input, then of the output
    int32_t axes;
    int32_t element_size;

    // Fills it; false where `order` is no permutation that gives the output, or too many axes are left.
    bool fits(const Operand& x, const Integers& order, const Operand& out);
};

// The same for what is copied into a larger output, of at most four axes, and what fills that before.
struct Padding {
    int32_t sizes[3 * 4];
    int32_t axes;
    int64_t offset;  // of the copy in the output
    int8_t value[1];

    // Fills it; false where x with so many elements before and after, of which each list has four, is not as large as
    // the output. Those of an image are in the order of memory, also where both orders are the same bytes.
    bool fits(const Operand& x, const Integers& before, const Integers& after, int64_t filling, const Operand& out);
    int8_t* inside(const Operand& out) const { return out.as<int8_t>() + offset; }
};

}  // namespace mcu
