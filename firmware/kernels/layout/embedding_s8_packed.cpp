#include "kernels/layout/embedding_s8_packed.h"

#include <string.h>

#include "kernels/linear/packed_s8.h"
#include "kernels/quantize/scale_s8.h"

void mcu_embedding_s8_packed(const int8_t* weight, const float* scale, const int64_t* ids, float* out, int32_t count,
                             int32_t vocabulary, int32_t n) {
    for (int32_t i = 0; i < count; ++i, out += n) {
        const int64_t id = ids[i];
        if (id < 0 || id >= vocabulary) {
            memset(out, 0, size_t(n) * sizeof *out);
            continue;
        }
        const int32_t row = int32_t(id);
        const int8_t* block = weight + int64_t{row / MCU_PACKED_ROWS} * mcu_packed_group_bytes(n) +
                              row % MCU_PACKED_ROWS * MCU_PACKED_COLUMNS;  // [16] of the row, the next 128 bytes on
        for (int32_t k = 0; k < n; k += MCU_PACKED_COLUMNS, block += MCU_PACKED_ROWS * MCU_PACKED_COLUMNS) {
            mcu_scale_s8(block, out + k, n - k < MCU_PACKED_COLUMNS ? n - k : MCU_PACKED_COLUMNS, scale[row]);
        }
    }
}
