// mcu::embedding_s8: row ids[i] of weight[vocabulary][n] times its scale, for each of count ids; zeros for an id that
// is out of range. out[count][n], apart from the inputs. Specification: mcu_sdk/operators/reference/linear.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_embedding_s8(const int8_t* weight, const float* scale, const int64_t* ids, float* out,
                                 int32_t count, int32_t vocabulary, int32_t n);
