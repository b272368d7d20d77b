// out[i] = not x[i]. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_logical_not(const bool* x, bool* out, int32_t n);
