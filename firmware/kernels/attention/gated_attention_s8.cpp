#include "kernels/attention/gated_attention_s8.h"

#include "kernels/attention/sequence_tile.h"

// Scores of `tile` queries of a head from `first` on -> probabilities in p[tile][positions]; factors[i] is what the sum
// of values over them is multiplied by. gates: of the head's queries.
static inline void find_probabilities(const McuGatedAttention& a, const Parts& parts, const float* gates,
                                      const float* bias, int32_t head, int32_t first, int32_t tile, float* factors) {
    for (int32_t i = 0; i < tile; ++i) {
        float* scores = parts.rows + i * lanes_of(a.positions);
        add_times(bias_of(bias, a, head, first + i), gates[first + i], scores, a.positions);
        factors[i] = a.out_scale / float(exponentiate(scores, parts.p + i * a.positions, a.positions));
    }
}

void mcu_gated_attention_s8(const int8_t* q, const int8_t* k, const int8_t* v, const float* gates, const float* bias,
                            int8_t* out, uint8_t* scratch, const McuGatedAttention* attention) {
    const McuGatedAttention a = *attention;
    const Parts parts(scratch, a.positions, a.n, a.m);
    const int32_t width = a.heads * a.n;
    const int32_t out_width = a.heads * a.m;
    for (int32_t head = 0; head < a.heads; ++head, q += a.n, out += a.m) {
        lay_out_keys(k + head * a.n, width, a.positions, a.n, parts.keys);
        lay_out_values(v + head * a.m, out_width, a.positions, a.m, parts.values);
        for (int32_t first = 0; first < a.queries; first += TILE) {
            const int32_t tile = a.queries - first < TILE ? a.queries - first : TILE;
            for (int32_t i = 0; i < tile; ++i) copy_query(q + (first + i) * width, parts.queries + i * a.n, a.n);
            multiply(parts.queries, parts.keys, a.score_scale, parts.rows, whole_tile(tile), a.n,
                     lanes_of(a.positions));
            float factors[TILE];
            find_probabilities(a, parts, gates + head * a.queries, bias, head, first, tile, factors);
            multiply(parts.p, parts.values, 1.0f, parts.rows, whole_tile(tile), a.positions, lanes_of(a.m));
            for (int32_t i = 0; i < tile; ++i) {
                round_to_s8(parts.rows + i * lanes_of(a.m), factors[i], out + (first + i) * out_width, a.m,
                            a.out_zero_point);
            }
        }
    }
}
