// n elements of 1, 2, 4 or 8 bytes, each a copy of *value.
#pragma once

#include <stdint.h>

extern "C" void mcu_fill(const void* value, void* out, int32_t n, int32_t element_size);
