#include "operators/reduce.h"

namespace mcu {

bool Reduction::fits(const Operand& x, const Integers& axes, const Operand& out) {
    uint32_t reduced = axes.size() == 0 ? ~uint32_t{0} : 0;
    for (size_t i = 0; i < axes.size(); ++i) {
        const int32_t rank = x.rank > 0 ? x.rank : 1;
        const int64_t axis = axes[i] < 0 ? axes[i] + rank : axes[i];
        if (axis < 0 || axis >= rank) return false;
        reduced |= uint32_t{1} << axis;
    }
    // From the outermost axis on: what is not reduced is outer before the first that is, inner behind it.
    int64_t sizes[3] = {1, 1, 1};
    int32_t part = 0;
    for (int32_t axis = 0; axis < x.rank; ++axis) {
        if (x.sizes[axis] == 1) continue;
        const bool is_reduced = (reduced >> axis & 1) != 0;
        if (is_reduced && part == 2) return false;
        if (is_reduced != (part == 1)) ++part;
        sizes[part] *= x.sizes[axis];
    }
    outer = narrow(sizes[0]);
    count = narrow(sizes[1]);
    inner = narrow(sizes[2]);
    divisor = static_cast<float>(count);
    return out.count == sizes[0] * sizes[2];
}

int64_t elements_of_last(const Operand& x, const Integers& shape) {
    const size_t rank = static_cast<size_t>(x.rank);
    if (shape.size() == 0 || shape.size() > rank) return 0;
    int64_t elements = 1;
    for (size_t i = 0; i < shape.size(); ++i) {
        const int64_t size = x.sizes[rank - shape.size() + i];
        if (shape[i] != size) return 0;
        elements *= size;
    }
    return elements;
}

}  // namespace mcu
