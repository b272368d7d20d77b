// See sampler.h. Logits are compared as integers and weights are integers: nothing depends on the float mode, and
// no order of additions has to be kept.
#include "runtime/sampler.h"

#include <string.h>

namespace {

constexpr float kGreedyBelow = 1e-6f;
constexpr float kLog2e = 1.442695040888963f * 16777216.0f;  // log2(e) with 24 fraction bits
constexpr float kWeightless = 16.75f;                       // exp(-16.64) * 2^24 is below 1
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

uint64_t split_mix(uint64_t* state) {
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
    const uint32_t best_key = key_of(logits[best]);
    if (best_key == kInfinityKey || best_key <= kMinusInfinityKey) return best;

    Candidates all = {logits[best], temperature, 0, n};
    if (top_k > 0 && top_k < n) {
        all.limit = kth_key(logits, n, top_k);
        all.ties = top_k;
        for (int32_t i = 0; i < n; ++i) all.ties -= key_of(logits[i]) > all.limit ? 1 : 0;
    }
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
