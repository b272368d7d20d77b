#include "kernels/layout/copy.h"

#include <string.h>

void mcu_copy(const void* from, void* to, int32_t n) { memmove(to, from, size_t(n)); }
