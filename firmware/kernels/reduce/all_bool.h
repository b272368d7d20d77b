// out[outer][inner] = whether all along the middle axis of x[outer][count][inner] are true.
#pragma once

#include <stdint.h>

extern "C" void mcu_all_bool(const bool* x, bool* out, int32_t outer, int32_t count, int32_t inner);
