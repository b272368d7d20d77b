// The stack's bounds (from the linker script) and what its unused part looks like.
#pragma once

#include <stdint.h>

extern "C" {
extern uint32_t __stack_limit[], __stack_top[];
}

inline constexpr uint32_t kStackPaint = 0x5AC35AC3u;
