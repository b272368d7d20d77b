// A copy of n bytes; the two may overlap.
#pragma once

#include <stdint.h>

extern "C" void mcu_copy(const void* from, void* to, int32_t n);
