// How much of the stack was used.
#pragma once

#include <stdint.h>

// The most bytes of stack that were in use since the start; 0 where the platform cannot tell (a host).
uint32_t memory_stack_used();
