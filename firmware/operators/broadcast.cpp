#include "operators/broadcast.h"

namespace mcu {

namespace {

constexpr int32_t kMostRank = 16;  // of ExecuTorch's tensors

struct Walk {
    int32_t strides[kMostRank];

    // Strides that walk a contiguous operand over the output: 0 where it repeats.
    bool fill(const Operand& operand, const Operand& out) {
        int32_t step = 1;
        const int32_t missing = out.rank - operand.rank;
        if (missing < 0) return false;
        for (int32_t axis = out.rank - 1; axis >= 0; --axis) {
            const int32_t size = axis < missing ? 1 : operand.sizes[axis - missing];
            if (size != 1 && size != out.sizes[axis]) return false;
            strides[axis] = size != 1 ? step : 0;
            step *= size;
        }
        return true;
    }
};

}  // namespace

bool Broadcast::fits(const Operand& a, const Operand& b, const Operand& out) {
    Walk walks[2];
    if (out.rank > kMostRank || !walks[0].fill(a, out) || !walks[1].fill(b, out)) return false;
    // From the innermost axis on; the first one that is kept is the last of the table.
    int32_t kept[kMostRank], strides[2][kMostRank];
    int32_t count = 0;
    const bool side_by_side = a.count == out.count && b.count == out.count;
    if (side_by_side || out.count == 1) {
        axes = 1;
        sizes[0] = narrow(out.count);
        sizes[1] = sizes[2] = side_by_side ? 1 : 0;
        return true;
    }
    for (int32_t axis = out.rank - 1; axis >= 0; --axis) {
        if (out.sizes[axis] == 1) continue;
        bool joined = count > 0;
        for (int32_t i = 0; i < 2 && joined; ++i) {
            joined = walks[i].strides[axis] == strides[i][count - 1] * kept[count - 1];
        }
        if (joined) {
            kept[count - 1] *= out.sizes[axis];
            continue;
        }
        kept[count] = out.sizes[axis];
        for (int32_t i = 0; i < 2; ++i) strides[i][count] = walks[i].strides[axis];
        ++count;
    }
    if (count > kMcuBroadcastAxes) return false;
    axes = count;
    for (int32_t axis = 0; axis < count; ++axis) {
        const int32_t from = count - 1 - axis;
        sizes[axis] = kept[from];
        sizes[count + axis] = strides[0][from];
        sizes[2 * count + axis] = strides[1][from];
    }
    return true;
}

bool Broadcast::repeats(int64_t count) {
    axes = 1;
    sizes[0] = narrow(count);
    sizes[1] = 1;
    sizes[2] = 0;
    return true;
}

bool Padding::fits(const Operand& x, const Integers& before, const Integers& after, int64_t filling,
                   const Operand& out) {
    constexpr int32_t kInMemory[] = {0, 3, 1, 2};  // which each axis of an image is there
    const int32_t missing = 4 - x.rank;
    if (missing < 0 || x.rank != out.rank || before.size() != 4 || after.size() != 4) return false;
    if (!(x.contiguous ? out.contiguous : x.channels_last && out.channels_last)) return false;
    axes = 4;
    offset = 0;
    int32_t from = 1, to = 1;
    for (int32_t i = 3; i >= 0; --i) {
        int32_t axis = i - missing;  // the one that is the i-th in memory
        if (!x.contiguous) {
            axis = 0;
            while (kInMemory[axis] != i) ++axis;
        }
        const int32_t size = axis < 0 ? 1 : x.sizes[axis], whole = axis < 0 ? 1 : out.sizes[axis];
        const size_t side = static_cast<size_t>(x.channels_last ? kInMemory[axis] : i);
        const int64_t first = before[side], last = after[side];
        if (first < 0 || last < 0 || first > whole || last > whole || first + size + last != whole) return false;
        sizes[i] = size;
        sizes[4 + i] = from;
        sizes[8 + i] = to;
        offset += first * to;
        from *= size;
        to *= whole;
    }
    value[0] = static_cast<int8_t>(filling);
    return true;
}

bool Permutation::fits(const Operand& x, const Integers& order, const Operand& out) {
    if (x.rank > kMostRank || out.rank != x.rank || x.type != out.type || order.size() != static_cast<size_t>(x.rank)) {
        return false;
    }
    int32_t x_strides[kMostRank];
    for (int32_t axis = x.rank - 1, step = 1; axis >= 0; step *= x.sizes[axis--]) x_strides[axis] = step;
    // From the innermost axis on; neighbours that lie one behind the other in both are joined.
    int32_t kept[kMostRank], from[kMostRank], to[kMostRank];
    int32_t count = 0, step = 1;
    uint32_t seen = 0;
    for (int32_t axis = out.rank - 1; axis >= 0; --axis) {
        const int64_t said = order[static_cast<size_t>(axis)];
        const int64_t source = said < 0 ? said + x.rank : said;
        if (source < 0 || source >= x.rank || (seen >> source & 1) != 0) return false;
        seen |= 1u << source;
        const int32_t size = x.sizes[source];
        if (size != out.sizes[axis]) return false;
        if (size == 1) continue;
        const bool joined = count > 0 && x_strides[source] == from[count - 1] * kept[count - 1];
        if (joined) {
            kept[count - 1] *= size;
        } else {
            kept[count] = size;
            from[count] = x_strides[source];
            to[count] = step;
            ++count;
        }
        step *= size;
    }
    if (count == 0) {
        kept[0] = from[0] = to[0] = 1;
        count = 1;
    }
    if (count > kMcuBroadcastAxes) return false;
    axes = count;
    element_size = narrow(x.bytes / x.count);
    for (int32_t axis = 0; axis < count; ++axis) {
        sizes[axis] = kept[count - 1 - axis];
        sizes[count + axis] = from[count - 1 - axis];
        sizes[2 * count + axis] = to[count - 1 - axis];
    }
    return true;
}

}  // namespace mcu
