#include "kernels/image/resize_frame.h"

#define WEIGHT_BITS 22
#define BLOCK 32  // bytes of a row that are summed at a time

static inline uint8_t rounded_pixel(int32_t sum) {
    const int32_t value = sum >> WEIGHT_BITS;
    return uint8_t(value < 0 ? 0 : value > 255 ? 255 : value);
}

// One row, pixels[...][channels] -> out[columns][channels].
static inline void resize_row(const uint8_t* pixels, const int32_t* spans, const int32_t* weights,
                              const McuResizeFrame& a, uint8_t* out) {
    for (int32_t x = 0; x < a.columns; ++x, spans += 2, out += a.channels) {
        const uint8_t* const first = pixels + spans[0] * a.channels;
        for (int32_t c = 0; c < a.channels; ++c) {
            int32_t sum = 1 << (WEIGHT_BITS - 1);
            for (int32_t i = 0; i < spans[1]; ++i) sum += first[i * a.channels + c] * weights[i];
            out[c] = rounded_pixel(sum);
        }
        weights += spans[1];
    }
}

// The weighted sum of `count` rows of `wide` bytes from row `begin` on; row r lies at rows + (r % ring) * wide.
static inline void sum_rows(const uint8_t* rows, int32_t wide, int32_t ring, int32_t begin, int32_t count,
                            const int32_t* weights, uint8_t* out) {
    for (int32_t left = wide; left > 0; left -= BLOCK, rows += BLOCK, out += BLOCK) {
        const int32_t n = left < BLOCK ? left : BLOCK;
        int32_t sums[BLOCK];
        for (int32_t i = 0; i < n; ++i) sums[i] = 1 << (WEIGHT_BITS - 1);
        for (int32_t j = 0; j < count; ++j) {
            const uint8_t* const row = rows + (begin + j) % ring * wide;
            for (int32_t i = 0; i < n; ++i) sums[i] += row[i] * weights[j];
        }
        for (int32_t i = 0; i < n; ++i) out[i] = rounded_pixel(sums[i]);
    }
}

// What is made of the rows that a row of the image needs, pixels[columns][channels], becomes values.
template <typename T>
static inline T* look_up(const uint8_t* pixels, const T* table, const McuResizeFrame& a, T* out) {
    for (int32_t x = 0; x < a.columns; ++x) {
        for (int32_t c = 0; c < a.channels; ++c) *out++ = table[c * 256 + *pixels++];
    }
    return out;
}

// Columns first: the frame's rows are resized as they are needed, into a ring; one more row of scratch takes their sum.
template <typename T>
static inline void columns_first(const uint8_t* frame, const int32_t* column_spans, const int32_t* column_weights,
                                 const int32_t* row_spans, const int32_t* row_weights, const T* table, T* out,
                                 uint8_t* scratch, const McuResizeFrame& a) {
    const int32_t wide = a.columns * a.channels;
    uint8_t* const row = scratch + a.ring * wide;
    int32_t made = 0;  // rows of the frame that are in the ring, or were, or are not needed
    for (int32_t y = 0; y < a.rows; ++y, row_spans += 2) {
        const int32_t begin = row_spans[0];
        const int32_t count = row_spans[1];
        for (made = made > begin ? made : begin; made < begin + count; ++made) {
            resize_row(frame + made * a.width * a.channels, column_spans, column_weights, a,
                       scratch + made % a.ring * wide);
        }
        sum_rows(scratch, wide, a.ring, begin, count, row_weights, row);
        out = look_up(row, table, a, out);
        row_weights += count;
    }
}

template <typename T>
static inline void rows_first(const uint8_t* frame, const int32_t* column_spans, const int32_t* column_weights,
                              const int32_t* row_spans, const int32_t* row_weights, const T* table, T* out,
                              uint8_t* scratch, const McuResizeFrame& a) {
    const int32_t wide = a.width * a.channels;
    uint8_t* const row = scratch + wide;
    for (int32_t y = 0; y < a.rows; ++y, row_spans += 2) {
        sum_rows(frame, wide, INT32_MAX, row_spans[0], row_spans[1], row_weights, scratch);
        resize_row(scratch, column_spans, column_weights, a, row);
        out = look_up(row, table, a, out);
        row_weights += row_spans[1];
    }
}

void mcu_resize_frame_f32(const uint8_t* frame, const int32_t* column_spans, const int32_t* column_weights,
                          const int32_t* row_spans, const int32_t* row_weights, const float* table, float* out,
                          uint8_t* scratch, const McuResizeFrame* sizes) {
    (sizes->rows_first ? rows_first<float> : columns_first<float>)(frame, column_spans, column_weights, row_spans,
                                                                   row_weights, table, out, scratch, *sizes);
}

void mcu_resize_frame_s8(const uint8_t* frame, const int32_t* column_spans, const int32_t* column_weights,
                         const int32_t* row_spans, const int32_t* row_weights, const int8_t* table, int8_t* out,
                         uint8_t* scratch, const McuResizeFrame* sizes) {
    (sizes->rows_first ? rows_first<int8_t> : columns_first<int8_t>)(frame, column_spans, column_weights, row_spans,
                                                                     row_weights, table, out, scratch, *sizes);
}
