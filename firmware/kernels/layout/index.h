// Indices that are known only when the model runs.
#pragma once

#include <stdint.h>

// An index, counted from the end where negative, as 0 .. size - 1; -1 when it is out of range.
static inline int32_t mcu_checked_index(int64_t index, int32_t size) {
    if (index < 0) index += size;  // cannot overflow: size >= 0
    return index >= 0 && index < size ? int32_t(index) : -1;
}
