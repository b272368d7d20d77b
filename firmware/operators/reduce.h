// What the wrappers of operators that reduce axes work out.
#pragma once

#include "operators/arguments.h"

namespace mcu {

// x as [outer][count][inner], of which the middle is reduced: neighbouring axes, those of one element aside.
struct Reduction {
    int32_t outer, count, inner;
    float divisor;  // count, for a mean

    // Fills it; false where the axes (none: all) are not neighbours, or the output has not one element for each rest.
    bool fits(const Operand& x, const Integers& axes, const Operand& out);
};

// Elements of the axes `shape`, which are the last ones of x; 0 where they are not.
int64_t elements_of_last(const Operand& x, const Integers& shape);

}  // namespace mcu
