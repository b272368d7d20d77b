// The kernels' self-test at boot (-DMCU_SELF_TEST=ON): each is called once on made-up numbers and has to give the
// answer that was known when the project was generated.
#pragma once

#include <stddef.h>
#include <stdint.h>

// What the model's self-test (model/self_test.inc) is told to. One answer is begin, fills, the call, comparisons, end.
class SelfTest {
  public:
    // `kernels`: the functions that are called. Text that stays.
    void begin(const char* kernels, uint32_t seed);

    // Fill data[0..elements). Integers of 32 and 64 bits are below `limit`; floats between -1 and 1, or 0 and 1.
    void fill_s8(int8_t* data, size_t elements);
    void fill_u8(uint8_t* data, size_t elements);
    void fill_s16(int16_t* data, size_t elements);
    void fill_s32(int32_t* data, size_t elements, uint32_t limit);
    void fill_s64(int64_t* data, size_t elements, uint32_t limit);
    void fill_f16(uint16_t* data, size_t elements);
    void fill_f32(float* data, size_t elements, bool positive);
    void fill_f64(double* data, size_t elements, bool positive);
    void fill_bool(bool* data, size_t elements);

    // Compare data[0..bytes) by its CRC-32, or samples of data[0..elements), `count` of them at equal distances, in
    // units of `step`; two units off are right.
    void equal(const void* data, size_t bytes, uint32_t crc);
    void near(const float* data, size_t elements, const int16_t* samples, int32_t count, float step);

    // Says on the console if the kernels are broken.
    void end();

    int32_t tested() const { return tested_; }
    int32_t broken() const { return broken_; }
    const char* broken_kernels(int32_t i) const { return names_[i]; }  // i < broken() and < kNamed

    static constexpr int32_t kNamed = 16;  // of the broken ones, the first that are remembered by name

  private:
    uint32_t next();

    const char* kernels_ = nullptr;
    const char* names_[kNamed] = {};
    uint32_t counter_ = 0;
    int32_t tested_ = 0;
    int32_t broken_ = 0;
    bool right_ = true;
};

namespace model {

// In model/plan.cpp. Uses the arena and the KV cache, and resets them.
void self_test(SelfTest* test);

}  // namespace model

// Tests every kernel and says what came of it: `@mcu self_test=ok self_tested=12`.
void self_test_run();

// Whether a kernel was found broken; and how many known answers there were.
bool self_test_failed();
int32_t self_test_count();

// The facts of an answer that is refused for it: `@mcu kernel=mcu_add_f32,mcu_rms_norm self_test_wrong=2
// self_tested=12`. Names that did not fit are only counted.
void self_test_print_broken();
