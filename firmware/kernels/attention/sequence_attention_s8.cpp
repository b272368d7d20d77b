#include "kernels/attention/sequence_attention_s8.h"

#include "kernels/attention/sequence_tile.h"

// The probabilities of `tile` queries from `first` on in p[tile][count]; factors[i] is what the sum of values over them
// is multiplied by.
static inline void find_probabilities(const McuSequenceAttention& a, const Parts& parts, const float* bias, bool padded,
                                      int32_t head, int32_t first, int32_t tile, int32_t count, float* factors) {
    for (int32_t i = 0; i < tile; ++i) {
        float* scores = parts.rows + i * lanes_of(count);
        if (bias) add_to_scores(bias_of(bias, a, head, first + i), scores, count);
        if (padded) add_to_scores(parts.penalties, scores, count);
        factors[i] = a.out_scale / float(exponentiate(scores, parts.p + i * count, count));
    }
}

// One head of one sequence; `count` keys are laid out.
static inline void attend(const McuSequenceAttention& a, const Parts& parts, const int8_t* q, const float* bias,
                          bool padded, int32_t head, int32_t count, int8_t* out) {
    const int32_t width = a.heads * a.n;
    const int32_t out_width = a.heads * a.m;
    q += head * a.n;
    out += head * a.m;
    for (int32_t first = 0; first < a.queries; first += TILE, q += TILE * width, out += TILE * out_width) {
        const int32_t tile = a.queries - first < TILE ? a.queries - first : TILE;
        for (int32_t i = 0; i < tile; ++i) copy_query(q + i * width, parts.queries + i * a.n, a.n);
        multiply(parts.queries, parts.keys, a.score_scale, parts.rows, whole_tile(tile), a.n, lanes_of(count));
        float factors[TILE];
        find_probabilities(a, parts, bias, padded, head, first, tile, count, factors);
        multiply(parts.p, parts.values, 1.0f, parts.rows, whole_tile(tile), count, lanes_of(a.m));
        for (int32_t i = 0; i < tile; ++i) {
            round_to_s8(parts.rows + i * lanes_of(a.m), factors[i], out + i * out_width, a.m, a.out_zero_point);
        }
    }
}

void mcu_sequence_attention_s8(const int8_t* q, const int8_t* k, const int8_t* v, const int64_t* padding,
                               const float* bias, const int32_t* tables, int8_t* out, uint8_t* scratch,
                               const McuSequenceAttention* attention) {
    const McuSequenceAttention a = *attention;
    const Parts parts(scratch, a.positions, a.n, a.m);
    const int32_t count = padding ? read_padding(padding, a.positions, parts.penalties) : a.positions;
    const int32_t share = a.heads / a.groups;
    const int32_t k_width = a.groups * a.n;
    const int32_t v_width = a.groups * a.m;
    for (int32_t sequence = 0; sequence < a.sequences; ++sequence) {
        const int32_t number =
            tables && tables[sequence] >= 0 && tables[sequence] < a.bias_tables ? tables[sequence] : 0;
        const float* table = bias ? bias + number * a.bias_table : nullptr;
        for (int32_t head = 0; head < a.heads; ++head) {
            if (head % share == 0) {
                const int32_t group = head / share;
                lay_out_keys(k + group * a.n, k_width, count, a.n, parts.keys);
                lay_out_values(v + group * a.m, v_width, count, a.m, parts.values);
            }
            attend(a, parts, q, table, padding != nullptr, head, count, out);
        }
        q += a.queries * a.heads * a.n;
        k += a.positions * k_width;
        v += a.positions * v_width;
        out += a.queries * a.heads * a.m;
    }
}
