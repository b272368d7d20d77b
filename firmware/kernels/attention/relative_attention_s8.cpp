#include "kernels/attention/relative_attention_s8.h"

#include "kernels/attention/sequence_tile.h"
#include "kernels/linear/dot_s8.h"

// A tile of queries of one head: queries[tile][n] from `first` on, scores[tile][lanes_of(length)].
struct Tile {
    const int8_t* queries;
    float* scores;
    int32_t first, count;
};

// scores[i][j] += queries[i] * table[length - 1 - (first + i) + j] * scale.
static inline void add_of_queries(const McuRelativeAttention& a, const Tile& tile, const int8_t* table, float scale) {
    for (int32_t i = 0; i < tile.count; ++i) {
        const int8_t* rows = table + (a.length - 1 - tile.first - i) * a.n;
        float* scores = tile.scores + i * lanes_of(a.length);
        for (int32_t j = 0; j < a.length;) {
            int32_t sums[4];
            const int32_t done = mcu_dots_s8(tile.queries + i * a.n, rows + j * a.n, a.n, a.length - j, sums);
            for (int32_t next = 0; next < done; ++next) scores[j + next] += float(sums[next]) * scale;
            j += done;
        }
    }
}

// scores[i][j] += keys[j] * table[length - 1 - (first + i) + j] * scale, keys `stride` apart.
static inline void add_of_keys(const McuRelativeAttention& a, const Tile& tile, const int8_t* keys, int32_t stride,
                               const int8_t* table, float scale) {
    const int32_t last = tile.count - 1;
    const int8_t* rows = table + (a.length - 1 - tile.first - last) * a.n;  // of the last query
    for (int32_t j = 0; j < a.length; ++j, keys += stride, rows += a.n) {
        for (int32_t t = 0; t < tile.count;) {
            int32_t sums[4];
            const int32_t done = mcu_dots_s8(keys, rows + t * a.n, a.n, tile.count - t, sums);
            for (int32_t next = 0; next < done; ++next) {
                tile.scores[(last - t - next) * lanes_of(a.length) + j] += float(sums[next]) * scale;
            }
            t += done;
        }
    }
}

// The probabilities of a tile of queries, as find_probabilities of mcu_sequence_attention_s8 has them.
static inline void find_shares(const McuRelativeAttention& a, const Parts& parts, const int64_t* padding,
                               const Tile& tile, float* factors) {
    for (int32_t i = 0; i < tile.count; ++i) {
        float* scores = tile.scores + i * lanes_of(a.length);
        if (padding && padding[tile.first + i] == 0) {
            for (int32_t j = 0; j < a.length; ++j) scores[j] = 0.0f;
        } else if (padding) {
            add_to_scores(parts.penalties, scores, a.length);
        }
        factors[i] = a.out_scale / float(exponentiate(scores, parts.p + i * a.length, a.length));
    }
}

void mcu_relative_attention_s8(const int8_t* q, const int8_t* k, const int8_t* v, const int64_t* padding,
                               const int8_t* key_table, const int8_t* query_table, int8_t* out, uint8_t* scratch,
                               const McuRelativeAttention* attention) {
    const McuRelativeAttention a = *attention;
    const Parts parts(scratch, a.length, a.n, a.n);
    const int32_t width = a.heads * a.n;
    const int32_t of_head = (2 * a.length - 1) * a.n;
    if (padding) read_padding(padding, a.length, parts.penalties);
    for (int32_t head = 0; head < a.heads; ++head, q += a.n, k += a.n, v += a.n, out += a.n) {
        lay_out_keys(k, width, a.length, a.n, parts.keys);
        lay_out_values(v, width, a.length, a.n, parts.values);
        for (int32_t first = 0; first < a.length; first += TILE) {
            const int32_t count = a.length - first < TILE ? a.length - first : TILE;
            const Tile tile = {parts.queries, parts.rows, first, count};
            for (int32_t i = 0; i < count; ++i) copy_query(q + (first + i) * width, parts.queries + i * a.n, a.n);
            multiply(parts.queries, parts.keys, a.score_scale, parts.rows, whole_tile(count), a.n, lanes_of(a.length));
            if (key_table) add_of_queries(a, tile, key_table + head * of_head, a.key_table_scale);
            if (query_table) add_of_keys(a, tile, k, width, query_table + head * of_head, a.query_table_scale);
            float factors[TILE];
            find_shares(a, parts, padding, tile, factors);
            multiply(parts.p, parts.values, 1.0f, parts.rows, whole_tile(count), a.length, lanes_of(a.n));
            for (int32_t i = 0; i < count; ++i) {
                round_to_s8(parts.rows + i * lanes_of(a.n), factors[i], out + (first + i) * width, a.n,
                            a.out_zero_point);
            }
        }
    }
}
