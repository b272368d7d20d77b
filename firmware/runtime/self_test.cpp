// See self_test.h.
#include "runtime/self_test.h"

#include "runtime/crc.h"
#include "runtime/print.h"

namespace {

SelfTest result;

}  // namespace

void SelfTest::begin(const char* kernels, uint32_t seed) {
    kernels_ = kernels;
    counter_ = seed * 0x9E3779B9u;
    right_ = true;
}

// A number's hash (lowbias32): the n-th number does not depend on those before, so Python makes all of them at once.
uint32_t SelfTest::next() {
    uint32_t x = counter_++;
    x = (x ^ x >> 16) * 0x7FEB352Du;
    x = (x ^ x >> 15) * 0x846CA68Bu;
    return x ^ x >> 16;
}

void SelfTest::fill_u8(uint8_t* data, size_t elements) {
    for (size_t i = 0; i < elements; ++i) data[i] = static_cast<uint8_t>(next() >> 24);
}

void SelfTest::fill_s8(int8_t* data, size_t elements) { fill_u8(reinterpret_cast<uint8_t*>(data), elements); }

void SelfTest::fill_s16(int16_t* data, size_t elements) {
    for (size_t i = 0; i < elements; ++i) data[i] = static_cast<int16_t>(static_cast<int32_t>(next()) >> 16);
}

void SelfTest::fill_s32(int32_t* data, size_t elements, uint32_t limit) {
    for (size_t i = 0; i < elements; ++i) data[i] = static_cast<int32_t>(next() % limit);
}

void SelfTest::fill_s64(int64_t* data, size_t elements, uint32_t limit) {
    for (size_t i = 0; i < elements; ++i) data[i] = static_cast<int64_t>(next() % limit);
}

void SelfTest::fill_f16(uint16_t* data, size_t elements) {
    for (size_t i = 0; i < elements; ++i) data[i] = static_cast<uint16_t>(0x3800u | next() >> 23);
}

void SelfTest::fill_f32(float* data, size_t elements, bool positive) {
    for (size_t i = 0; i < elements; ++i) {
        const uint32_t x = next();
        const float fraction = static_cast<float>((x >> 8) + 1) * 0x1p-24f;
        data[i] = (x & 1u) != 0 && !positive ? -fraction : fraction;
    }
}

void SelfTest::fill_f64(double* data, size_t elements, bool positive) {
    for (size_t i = 0; i < elements; ++i) {
        const uint32_t x = next();
        const double fraction = static_cast<double>((x >> 8) + 1) * 0x1p-24;
        data[i] = (x & 1u) != 0 && !positive ? -fraction : fraction;
    }
}

void SelfTest::fill_bool(bool* data, size_t elements) {
    for (size_t i = 0; i < elements; ++i) data[i] = next() >> 31 != 0;
}

void SelfTest::equal(const void* data, size_t bytes, uint32_t crc) {
    const uint32_t found = crc_add(kCrcOfNothing, static_cast<const char*>(data), static_cast<int32_t>(bytes));
    right_ = right_ && found == crc;
}

void SelfTest::near(const float* data, size_t elements, const int16_t* samples, int32_t count, float step) {
    for (int32_t i = 0; i < count; ++i) {
        const size_t at = static_cast<size_t>(static_cast<uint64_t>(i) * elements / static_cast<uint64_t>(count));
        const float difference = data[at] - static_cast<float>(samples[i]) * step;
        right_ = right_ && difference >= -2.0f * step && difference <= 2.0f * step;  // false for a NaN
    }
}

void SelfTest::end() {
    ++tested_;
    if (right_) return;
    if (broken_ < kNamed) names_[broken_] = kernels_;
    ++broken_;
    print_fact("self_test_broken", kernels_);
}

void self_test_run() {
    model::self_test(&result);
    print_text("\n@mcu self_test=");
    print_text(result.broken() == 0 ? "ok" : "failed");
    print_text(" self_tested=");
    print_unsigned(static_cast<uint64_t>(result.tested()));
    print_text("\n");
}

bool self_test_failed() { return result.broken() != 0; }

int32_t self_test_count() { return result.tested(); }

void self_test_print_broken() {
    print_text("@mcu kernel=");
    for (int32_t i = 0; i < result.broken() && i < SelfTest::kNamed; ++i) {
        if (i != 0) print_text(",");
        print_text(result.broken_kernels(i));
    }
    print_text(" self_test_wrong=");
    print_unsigned(static_cast<uint64_t>(result.broken()));
    print_text(" self_tested=");
    print_unsigned(static_cast<uint64_t>(result.tested()));
    print_text("\n");
}
