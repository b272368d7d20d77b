#include "kernels/attention/sequence_attention_s8.h"

#include "kernels/math/variant.h"

#if defined(MCU_HELIUM_FLOAT)
#include "kernels/attention/sequence_attention_s8_helium.h"
#else
#include "kernels/attention/sequence_attention_s8_portable.h"
#endif

// Queries whose scores are kept at a time.
#define TILE 8

// What padding adds to a score (mcu_sdk/operators/reference/sequence_attention.py).
#define INVISIBLE (-1e30f)

static inline int32_t round_up(int32_t value, int32_t unit) { return (value + unit - 1) / unit * unit; }

// The parts of the scratch; each begins at a multiple of 16 bytes.
struct Parts {
    int8_t* keys;      // one group's, as the variant lays them out
    int8_t* values;    // the same, turned
    float* rows;       // [TILE][positions] scores, then [TILE][n] results
    float* penalties;  // 0, or INVISIBLE, for each key
    int8_t* queries;   // [TILE][n]
    int8_t* p;         // [TILE][positions] probabilities

    Parts(uint8_t* scratch, int32_t positions, int32_t n) {
        const int32_t across = round_up(positions, 8);
        const int32_t channels = round_up(n, 8);
        const int32_t longest = across > channels ? across : channels;
        keys = reinterpret_cast<int8_t*>(scratch);
        values = keys + across * round_up(n, 16);
        rows = reinterpret_cast<float*>(values + channels * round_up(positions, 16));
        penalties = rows + TILE * longest;
        queries = reinterpret_cast<int8_t*>(penalties + longest);
        p = queries + round_up(TILE * n, 16);
    }
};

// The penalties of padding; returns how many keys have to be looked at: none behind the last that counts, all where
// none does.
static inline int32_t read_padding(const int64_t* padding, int32_t positions, float* penalties) {
    int32_t visible = 0;
    for (int32_t t = 0; t < positions; ++t) {
        penalties[t] = padding[t] == 0 ? INVISIBLE : 0.0f;
        if (padding[t] != 0) visible = t + 1;
    }
    return visible == 0 ? positions : visible;
}

static inline const float* bias_of(const float* bias, const McuSequenceAttention& a, int32_t head, int32_t query) {
    const float* rows = bias + (a.bias_heads == 1 ? 0 : head) * a.bias_stride;
    return a.bias_rows == 1 ? rows + (a.queries - 1 - query) : rows + query * a.positions;
}

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

void mcu_sequence_attention_s8(const int8_t* q, const int8_t* k, const int8_t* v, const int64_t* padding,
                               const float* bias, int8_t* out, uint8_t* scratch,
                               const McuSequenceAttention* attention) {
    const McuSequenceAttention a = *attention;
    const Parts parts(scratch, a.positions, a.n);
    const int32_t count = padding ? read_padding(padding, a.positions, parts.penalties) : a.positions;
    const int32_t share = a.heads / a.groups;
    const int32_t width = a.heads * a.n;
    for (int32_t head = 0; head < a.heads; ++head) {
        if (head % share == 0) {
            const int32_t group = head / share * a.n;
            lay_out(k + group, v + group, a.groups * a.n, count, a.n, parts.keys, parts.values);
        }
        for (int32_t first = 0; first < a.queries; first += TILE) {
            const int32_t tile = a.queries - first < TILE ? a.queries - first : TILE;
            const int32_t place = first * width + head * a.n;
            for (int32_t i = 0; i < tile; ++i) copy_query(q + place + i * width, parts.queries + i * a.n, a.n);
            multiply(parts.queries, parts.keys, a.score_scale, parts.rows, whole_tile(tile), a.n, lanes_of(count));
            float factors[TILE];
            find_probabilities(a, parts, bias, padding != nullptr, head, first, tile, count, factors);
            multiply(parts.p, parts.values, 1.0f, parts.rows, whole_tile(tile), count, lanes_of(a.n));
            for (int32_t i = 0; i < tile; ++i) {
                round_to_s8(parts.rows + i * lanes_of(a.n), factors[i], out + place + i * width, a.n, a.out_zero_point);
            }
        }
    }
}
