// The stack's high-water mark, from the pattern that startup.cpp painted.
#include "platform/memory.h"

#include "platform/cortex_m/stack.h"

uint32_t memory_stack_used() {
    const uint32_t* word = __stack_limit;
    while (word < __stack_top && *word == kStackPaint) ++word;
    return static_cast<uint32_t>(__stack_top - word) * 4;
}
