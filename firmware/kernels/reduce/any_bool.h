// out[outer][inner] = whether any along the middle axis of x[outer][count][inner] is true.
#pragma once

#include <stdint.h>

extern "C" void mcu_any_bool(const bool* x, bool* out, int32_t outer, int32_t count, int32_t inner);
