// What the linears make of their sums, channel by channel: formulas of kernels/linear/sums.h.
#pragma once

#include <stdint.h>

#include "kernels/linear/sums.h"

// (float(sum) * weight_scale[c]) * x_scale + bias[c]; bias may be nullptr.
struct McuDynamicEpilogue {
    const float* weight_scale;
    const float* bias;
    float x_scale;

    template <typename Lanes, typename Sum>
    void operator()(Lanes lanes, int32_t c, Sum sum, float* out) const {
        const auto value = lanes.scale(lanes.to_float(sum) * lanes.load(weight_scale + c), x_scale);
        lanes.store(out + c, bias ? value + lanes.load(bias + c) : value);
    }
};

// float(sum + offset[c]) * scale[c] + bias[c]; bias may be nullptr.
struct McuStaticEpilogue {
    const int32_t* offset;
    const float* scale;
    const float* bias;

    template <typename Lanes, typename Sum>
    void operator()(Lanes lanes, int32_t c, Sum sum, float* out) const {
        const auto value = lanes.to_float(lanes.add(sum, lanes.load(offset + c))) * lanes.load(scale + c);
        lanes.store(out + c, bias ? value + lanes.load(bias + c) : value);
    }
};

// sum + bias[c], requantized for each channel, plus zero_point, within [low, high]; bias may be nullptr.
struct McuRequantizeEpilogue {
    const int32_t* bias;
    const int32_t* multiplier;
    const int32_t* shift;
    int32_t zero_point, low, high;

    template <typename Lanes, typename Sum>
    void operator()(Lanes lanes, int32_t c, Sum sum, int8_t* out) const {
        const auto total = bias ? lanes.add(sum, lanes.load(bias + c)) : sum;
        const auto value = mcu_requantize(total, lanes.load(multiplier + c), lanes.load(shift + c));
        lanes.store(out + c, value, zero_point, low, high);
    }
};

// The same with a group's eight biases, multipliers and shifts one after the other, as packed weights have them.
struct McuPackedRequantizeEpilogue {
    const int32_t* constants;  // [3][8]
    int32_t zero_point, low, high;

    template <typename Lanes, typename Sum>
    void operator()(Lanes lanes, int32_t c, Sum sum, int8_t* out) const {
        const auto total = lanes.add(sum, lanes.load(constants + c));
        const auto value = mcu_requantize(total, lanes.load(constants + 8 + c), lanes.load(constants + 16 + c));
        lanes.store(out + c, value, zero_point, low, high);
    }
};

// sum + bias[c], requantized for each channel, plus added[c]; see lanes.store.
struct McuAddEpilogue {
    const int32_t* bias;
    const int32_t* multiplier;
    const int32_t* shift;
    const int16_t* added;

    template <typename Lanes, typename Sum>
    void operator()(Lanes lanes, int32_t c, Sum sum, int16_t* out) const {
        const auto total = lanes.add(sum, lanes.load(bias + c));
        const auto value = mcu_requantize(total, lanes.load(multiplier + c), lanes.load(shift + c));
        lanes.store(out + c, value, added + c);
    }
};

// McuRequantizeEpilogue with one multiplier and shift for all channels.
struct McuPerTensorEpilogue {
    const int32_t* bias;
    int32_t multiplier, shift, zero_point, low, high;

    template <typename Lanes, typename Sum>
    void operator()(Lanes lanes, int32_t c, Sum sum, int8_t* out) const {
        const auto total = bias ? lanes.add(sum, lanes.load(bias + c)) : sum;
        const auto value = mcu_requantize(total, lanes.all(multiplier), lanes.all(shift));
        lanes.store(out + c, value, zero_point, low, high);
    }
};
