// mcu::softmax_gate_s8: rows of x times the softmax of their scores, all int8: x, scores, out[rows][n].
//
// e = e^((s - max s) score_scale), out = clamp(rint((e (x - zero_point)) (ratio / lane_sum(e))) + out_zero_point); zero
// points within int8, scales positive. terms: scratch of n floats. out may be x, but must not overlap
// the scores. Specification: mcu_sdk/operators/reference/softmax_gate.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_softmax_gate_s8(const int8_t* x, const int8_t* scores, int8_t* out, void* terms, int32_t rows,
                                    int32_t n, float score_scale, float ratio, int32_t zero_point,
                                    int32_t out_zero_point);
