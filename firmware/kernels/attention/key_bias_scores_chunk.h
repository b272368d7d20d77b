// mcu::key_bias_scores of `tokens` tokens of a prompt: q and out have a row of heads for each, and position as many
// elements.
#pragma once

#include <stdint.h>

extern "C" void mcu_key_bias_scores_chunk(const float* q, const float* table, const int32_t* columns,
                                          const int64_t* position, float* out, int32_t tokens, int32_t heads,
                                          int32_t groups, int32_t channels, int32_t positions, int32_t n, float scale);
