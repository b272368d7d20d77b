// Tokens that a model never chooses.
#pragma once

#include <stdint.h>
#include <string.h>

// Makes each of the logits of `ids` a NaN, which is chosen only where there is nothing else.
static inline void suppress(float* logits, const int32_t* ids, int32_t count) {
    constexpr uint32_t kNan = 0x7FC00000u;
    for (int32_t i = 0; i < count; ++i) memcpy(logits + ids[i], &kNan, sizeof kNan);
}
