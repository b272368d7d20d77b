#include "kernels/attention/key_bias_scores.h"

#include "kernels/attention/attention.h"
#include "kernels/math/variant.h"

#if defined(MCU_HELIUM_FLOAT)
#include "kernels/attention/key_bias_scores_helium.h"
#else
#include "kernels/attention/key_bias_scores_portable.h"
#endif

void mcu_key_bias_scores(const float* q, const float* table, const int32_t* columns, const int64_t* position,
                         float* out, int32_t heads, int32_t groups, int32_t channels, int32_t positions, int32_t n,
                         float scale) {
    const int32_t visible = mcu_visible(*position, positions);
    const int32_t hidden = positions - visible;
    for (int32_t head = 0; head < heads; ++head, q += n, out += positions) {
        const float* row = table + head / (heads / groups) * channels * positions;
        for (int32_t i = 0; i < hidden; ++i) out[i] = 0.0f;
        scale_row(row, q[columns[0]] * scale, out + hidden, visible);
        for (int32_t c = 1; c < channels; ++c) {
            row += positions;
            add_scaled_row(row, q[columns[c]] * scale, out + hidden, visible);
        }
    }
}
