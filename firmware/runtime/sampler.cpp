// See sampler.h. Logits are compared as integers and weights are integers: nothing depends on the float mode, and
// no order of additions has to be kept.
#include "runtime/sampler.h"

#include <string.h>

namespace {

constexpr float kGreedyBelow = 1e-6f;
constexpr float kLog2e = 1.442695040888963f * 16777216.0f;  // log2(e) with 24 fraction bits
constexpr float kWeightless = 16.75f;                       // exp(-16.64) * 2^24 is below 1
constexpr uint32_t kGreatestWeight = 1u << 24;
constexpr uint32_t kSettled = 27u << 23;  // the bits of 2^-100
constexpr uint32_t kZeroKey = 0x80000000u;
constexpr uint32_t kInfinityKey = kZeroKey + 0x7F800000u;
constexpr uint32_t kMinusInfinityKey = kZeroKey - 0x7F800000u;

// An integer that orders floats: NaN (0) < -infinity < ... < zeros and subnormals (kZeroKey) < ... < infinity.
uint32_t key_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) return 0;
    if (magnitude < 0x00800000u) return kZeroKey;
    return bits == magnitude ? kZeroKey + magnitude : kZeroKey - magnitude;
}

// The k-th greatest key, 0 < k <= n: the greatest value that at least k keys reach, found bit by bit.
uint32_t kth_key(const float* logits, int32_t n, int32_t k) {
    uint32_t key = 0;
    for (uint32_t bit = 0x80000000u; bit != 0; bit >>= 1) {
        int32_t reached = 0;
        for (int32_t i = 0; i < n; ++i) reached += key_of(logits[i]) >= (key | bit) ? 1 : 0;
        if (reached >= k) key |= bit;
    }
    return key;
}

// exp(-distance) * 2^24 for distance >= 0; NaN gives 0.
//
// distance * log2(e) = whole + fraction; 2^-fraction is a polynomial of degree 6 with 30 fraction bits (Chebyshev
// interpolation on [0, 1], error below 4e-9), its terms of alternating sign, so that everything stays unsigned.
uint32_t weight_of(float distance) {
    if (!(distance < kWeightless)) return 0;
    const uint32_t power = static_cast<uint32_t>(distance * kLog2e);
    const uint64_t fraction = power & 0xFFFFFFu;
    constexpr uint32_t kTerms[] = {117420, 1369298, 10285417, 59582108, 257938586, 744260923, 1073741824};
    uint32_t value = 0;
    for (const uint32_t term : kTerms) value = term - static_cast<uint32_t>(value * fraction >> 24);
    return value >> ((power >> 24) + 6);
}

// floor(a * b / 2^64)
uint64_t multiply_high(uint64_t a, uint64_t b) {
    const uint64_t a_low = a & 0xFFFFFFFFu;
    const uint64_t a_high = a >> 32;
    const uint64_t b_low = b & 0xFFFFFFFFu;
    const uint64_t b_high = b >> 32;
    const uint64_t middle = a_high * b_low + (a_low * b_low >> 32);
    const uint64_t other = a_low * b_high + (middle & 0xFFFFFFFFu);
    return a_high * b_high + (middle >> 32) + (other >> 32);
}

[[gnu::noinline]] uint64_t split_mix(uint64_t* state) {
    *state += 0x9E3779B97F4A7C15u;
    uint64_t value = *state;
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9u;
    value = (value ^ value >> 27) * 0x94D049BB133111EBu;
    return value ^ value >> 31;
}

// What may be drawn: keys above the limit, and the first `ties` of those that are equal to it.
struct Candidates {
    float greatest;
    float temperature;
    uint32_t limit;
    int32_t ties;
};

// The weight of a logit; called for every index in order, because it counts the ties down.
uint32_t next_weight(Candidates* candidates, float logit) {
    const uint32_t key = key_of(logit);
    if (key < candidates->limit || key <= kMinusInfinityKey) return 0;
    if (key == candidates->limit && candidates->ties-- <= 0) return 0;
    return weight_of((candidates->greatest - logit) / candidates->temperature);
}

// What may be drawn of logits whose greatest is `greatest`.
Candidates candidates_of(const float* logits, int32_t n, float greatest, float temperature, int32_t top_k) {
    Candidates all = {greatest, temperature, 0, n};
    if (top_k > 0 && top_k < n) {
        all.limit = kth_key(logits, n, top_k);
        all.ties = top_k;
        for (int32_t i = 0; i < n; ++i) all.ties -= key_of(logits[i]) > all.limit ? 1 : 0;
    }
    return all;
}

bool can_draw(uint32_t best_key) { return best_key != kInfinityKey && best_key > kMinusInfinityKey; }

// A logit to compute with, see mcu_choose.
float settled(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (bits & 0x7FFFFFFFu) < kSettled ? 0.0f : value;
}

bool contains(const int32_t* ids, int32_t count, int32_t id) {
    for (int32_t i = 0; i < count; ++i) {
        if (ids[i] == id) return true;
    }
    return false;
}

void adjust(float* logits, int32_t n, const mcu_sampling& how, const int32_t* read, int32_t read_count) {
    for (int32_t i = 0; i < how.bias_count; ++i) {
        const mcu_logit_bias& bias = how.biases[i];
        if (bias.id >= 0 && bias.id < n) logits[bias.id] = settled(settled(logits[bias.id]) + bias.value);
    }
    const float penalty = settled(how.repetition_penalty);
    if (!(penalty > 0.0f) || penalty == 1.0f) return;
    for (int32_t i = 0; i < read_count; ++i) {
        const int32_t id = read[i];
        if (id < 0 || id >= n || contains(read, i, id)) continue;
        const float logit = settled(logits[id]);
        logits[id] = settled(logit < 0.0f ? logit * penalty : logit / penalty);
    }
}

// Weights lie where the logits lay.
uint32_t weight_at(const float* logits, int32_t i) {
    uint32_t weight;
    memcpy(&weight, logits + i, sizeof weight);
    return weight;
}

void put_weight(float* logits, int32_t i, uint32_t weight) { memcpy(logits + i, &weight, sizeof weight); }

uint64_t sum_from(const float* weights, int32_t n, uint32_t least) {
    uint64_t sum = 0;
    for (int32_t i = 0; i < n; ++i) {
        const uint32_t weight = weight_at(weights, i);
        if (weight >= least) sum += weight;
    }
    return sum;
}

// ceil(sum * top_p), at least 1, for top_p below 1.
uint64_t mass_of(float top_p, uint64_t sum) {
    const uint64_t share = top_p > 0.0f ? static_cast<uint64_t>(static_cast<uint32_t>(top_p * 16777216.0f)) << 40 : 0;
    const uint64_t mass = multiply_high(sum, share) + (sum * share != 0 ? 1 : 0);
    return mass > 0 ? mass : 1;
}

// min_p * 2^24, rounded up.
uint32_t least_weight(float min_p) {
    if (!(min_p > 0.0f)) return 0;
    if (min_p >= 1.0f) return kGreatestWeight;
    const float least = min_p * 16777216.0f;
    const uint32_t whole = static_cast<uint32_t>(least);
    return static_cast<float>(whole) < least ? whole + 1 : whole;
}

// Leaves the weights that top_p and min_p leave, 0 for the others, and returns their sum, which was `sum`.
uint64_t keep_likely(float* weights, int32_t n, float top_p, float min_p, uint64_t sum) {
    uint32_t limit = 0;  // the smallest weight that stays; of equal ones the first, while there is less than `mass`
    uint64_t mass = 0;
    uint64_t above = 0;
    if (top_p < 1.0f) {
        mass = mass_of(top_p, sum);
        for (uint32_t bit = kGreatestWeight; bit != 0; bit >>= 1) {
            if (sum_from(weights, n, limit | bit) >= mass) limit |= bit;
        }
        above = sum_from(weights, n, limit + 1);
    }
    const uint32_t least = least_weight(min_p);
    uint64_t kept = 0;
    for (int32_t i = 0; i < n; ++i) {
        const uint32_t weight = weight_at(weights, i);
        bool stays = weight > limit;
        if (weight == limit && above < mass) {
            above += weight;
            stays = true;
        }
        if (stays && weight >= least) {
            kept += weight;
        } else {
            put_weight(weights, i, 0);
        }
    }
    return kept;
}

// The draw among what is likely; `best` is the index of the greatest logit, which can be drawn.
[[gnu::noinline]] int32_t draw_likely(float* logits, int32_t n, const mcu_sampling& how, int32_t best,
                                      uint64_t random) {
    Candidates all = candidates_of(logits, n, logits[best], how.temperature, how.top_k);
    uint64_t sum = 0;
    for (int32_t i = 0; i < n; ++i) {
        const uint32_t weight = next_weight(&all, logits[i]);
        put_weight(logits, i, weight);
        sum += weight;
    }
    const uint64_t drawn = multiply_high(random, keep_likely(logits, n, how.top_p, how.min_p, sum));
    uint64_t running = 0;
    for (int32_t i = 0; i < n; ++i) {
        running += weight_at(logits, i);
        if (running > drawn) return i;
    }
    return best;  // not reached: one weight at least is left, and drawn is below the sum
}

}  // namespace

extern "C" int32_t mcu_argmax(const float* logits, int32_t n) {
    int32_t best = 0;
    for (int32_t i = 1; i < n; ++i) {
        if (key_of(logits[i]) > key_of(logits[best])) best = i;
    }
    return best;
}

extern "C" int32_t mcu_sample(const float* logits, int32_t n, float temperature, int32_t top_k, uint64_t* state) {
    const int32_t best = mcu_argmax(logits, n);
    if (!(temperature >= kGreedyBelow)) return best;
    const uint64_t random = split_mix(state);
    if (!can_draw(key_of(logits[best]))) return best;

    Candidates all = candidates_of(logits, n, logits[best], temperature, top_k);
    Candidates summed = all;
    uint64_t sum = 0;
    for (int32_t i = 0; i < n; ++i) sum += next_weight(&summed, logits[i]);
    const uint64_t drawn = multiply_high(random, sum);
    uint64_t running = 0;
    for (int32_t i = 0; i < n; ++i) {
        running += next_weight(&all, logits[i]);
        if (running > drawn) return i;
    }
    return best;  // not reached: the sum is at least the weight of the best, 2^24, and drawn is below it
}

extern "C" int32_t mcu_choose(float* logits, int32_t n, const mcu_sampling* how, const int32_t* read,
                              int32_t read_count, uint64_t* state) {
    adjust(logits, n, *how, read, read_count);
    const int32_t best = mcu_argmax(logits, n);
    if (!(how->temperature >= kGreedyBelow)) return best;
    const uint64_t random = split_mix(state);
    return can_draw(key_of(logits[best])) ? draw_likely(logits, n, *how, best, random) : best;
}
