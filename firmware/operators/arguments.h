// An operator's arguments as ExecuTorch's runtime hands them over, checked before a kernel sees them.
//
// Nothing here stops the program: what does not fit is logged with the operator's name, and the call fails with
// Error::InvalidArgument, which Method::execute() returns. The wrappers in operators.cpp are generated.
#pragma once

#include <executorch/runtime/core/evalue.h>
#include <executorch/runtime/core/span.h>
#include <executorch/runtime/kernel/kernel_runtime_context.h>
#include <executorch/runtime/platform/log.h>
#include <stddef.h>
#include <stdint.h>

#include <initializer_list>
#include <string_view>

// What a check failed on, for the log; nothing where there is none.
#if ET_LOG_ENABLED
#define MCU_TEXT(text) text
#else
#define MCU_TEXT(text) nullptr
#endif

namespace mcu {

using executorch::runtime::EValue;
using executorch::runtime::KernelRuntimeContext;
using executorch::runtime::Span;

// Element types as bits; they are ExecuTorch's ScalarType.
enum : uint32_t {
    kU8 = 1 << 0,
    kS8 = 1 << 1,
    kS16 = 1 << 2,
    kS32 = 1 << 3,
    kS64 = 1 << 4,
    kF16 = 1 << 5,
    kF32 = 1 << 6
};

// A contiguous tensor of at least one element. One that may be absent has `present` false, and no address then.
struct Operand {
    uint8_t* data = nullptr;
    int64_t count = 0;
    int64_t bytes = 0;
    const int32_t* sizes = nullptr;
    const uint8_t* order = nullptr;  // of the axes, as they lie in memory
    int32_t rank = 0;
    uint32_t type = 0;
    bool present = false;
    bool contiguous = true;
    bool channels_last = false;  // of four axes; where some have one element it may be both

    // -1 behind the last axis.
    int64_t size(int32_t axis) const { return axis < rank ? sizes[axis] : -1; }
    int64_t last() const { return size(rank - 1); }
    // Rows along the last axis.
    int64_t rows() const { return rank > 0 ? count / last() : -1; }
    bool is(std::initializer_list<int64_t> shape) const;
    bool has_shape_of(const Operand& other) const;
    // Whether both can be walked over side by side: contiguous, or in another dim order that is the same one.
    bool lies_as(const Operand& other) const;
    bool is_s8() const { return type == kS8; }
    bool is_s16() const { return type == kS16; }
    bool is_aligned() const { return reinterpret_cast<uintptr_t>(data) % 16 == 0; }
    bool overlaps(const Operand& other) const { return data < other.data + other.bytes && other.data < data + bytes; }
    bool is_at(const Operand& other) const { return data == other.data && bytes == other.bytes; }
    template <typename T>
    T* as() const {
        return reinterpret_cast<T*>(data);
    }
};

// A list of integers.
class Integers {
  public:
    Integers() = default;
    Integers(const int64_t* values, size_t count) : values_(values), count_(count) {}
    size_t size() const { return count_; }
    int64_t operator[](size_t index) const { return values_[index]; }

  private:
    const int64_t* values_ = nullptr;
    size_t count_ = 0;
};

// A word, of those that kernels are chosen by.
struct Text {
    std::string_view word;

    bool is_tanh() const { return word == "tanh"; }
    bool is_none() const { return word == "none"; }
};

// Reads the arguments of one call in their order; the first that is not what the schema says fails the call.
class Arguments {
  public:
    Arguments(KernelRuntimeContext& context, Span<EValue*> stack, const char* name, size_t count);

    Operand tensor(size_t index, uint32_t types);
    Operand optional_tensor(size_t index, uint32_t types);
    Operand walked_tensor(size_t index, uint32_t types);  // in any dim order
    Operand image(size_t index, uint32_t types);          // with channels last: its axes as they lie in memory
    int64_t integer(size_t index);                        // within int32_t
    double number(size_t index);
    bool boolean(size_t index);
    Integers integers(size_t index);
    Integers optional_integers(size_t index);  // empty where there is none
    Text text(size_t index);
    void only(size_t index, double wanted);  // any other number fails the call
    void absent(size_t index);               // so does anything
    void* scratch(int64_t bytes);            // nullptr where there is not as much: the call has failed then

    // int32_t[n] that is added to the products with a weight[n][k]: `given`, or, in temporary memory, bias + offset *
    // sum(weight); nullptr where there is none.
    const int32_t* sums(const Operand& given, const Operand& weight, const Operand& bias, int64_t offset);

    // Fails the call.
    void refuse(const char* what);
    bool failed() const { return failed_; }

  private:
    EValue* at(size_t index) { return failed_ ? nullptr : stack_[index]; }
    Operand wrong(size_t index, const char* what);

    KernelRuntimeContext& context_;
    Span<EValue*> stack_;
    const char* name_;
    bool failed_ = false;
    int32_t image_sizes_[2][4] = {};  // of as many as an operator has
    int32_t images_ = 0;
};

// An integer as a kernel takes it; what was checked fits.
template <typename Integer>
int32_t narrow(Integer value) {
    return static_cast<int32_t>(value);
}
inline bool narrow(bool value) { return value; }
inline float narrow(float value) { return value; }
float narrow(double value);  // infinite where a float holds no such number

template <typename T>
const T* address(const T& value) {
    return &value;
}

inline int64_t blocks(int64_t n, int64_t unit) { return (n + unit - 1) / unit; }
inline int64_t up(int64_t n, int64_t unit) { return blocks(n, unit) * unit; }
inline bool is_int16(int64_t value) { return value >= -32768 && value <= 32767; }
inline bool is_int8(int64_t value) { return value >= -128 && value <= 127; }
bool is_finite(double value);   // and below 1e30
bool is_scale(double value);    // the same, above 0
bool is_divisor(double value);  // a positive normal float, whose inverse is one

// What kernels/quantize/requantize.h computes with; a signed multiplier may be below 0.
inline bool is_signed_requantization(int64_t multiplier, int64_t shift) {
    return multiplier > INT32_MIN && shift >= -31 && shift <= 31;
}
inline bool is_requantization(int64_t multiplier, int64_t shift) {
    return multiplier >= 0 && is_signed_requantization(multiplier, shift);
}

// One factor as the kernels for two rows take it.
struct FourFactors {
    int32_t multiplier[4], shift[4];
    bool fill(int64_t all_multiplier, int64_t all_shift);
};

// A number as the second operand of a kernel that broadcasts.
struct Number {
    float value[1];

    bool holds(double number) {
        value[0] = narrow(number);
        return true;
    }
};

// Twice a number whose double is an integer of 32 bits; INT32_MAX of any other.
int64_t halves_of(double number);

// Multipliers not below 0, shifts -31 ... largest; in packed constants, of `groups` times [3][rows], shifts to the
// right.
bool requantizations(const int32_t* multiplier, const int32_t* shift, int64_t n, int32_t largest);
bool packed_requantizations(const int32_t* constants, int64_t groups, int64_t rows);
bool gate_requantizations(const int32_t* constants, int64_t n);  // [2][3][n]
bool shifts_right(const int32_t* shift, int64_t n);
bool within(const int32_t* values, int64_t n, int64_t limit);  // 0 ... limit - 1
bool not_negative(const int16_t* values, int64_t n);

// A softmax's input scale, which cortex_m::softmax's multiplier stands for with 26 bits of fraction.
float softmax_scale(int64_t multiplier, int64_t shift);

// Bytes of scratch: of `pairs` pairs of rows (kernels/linear/two_rows_s8.h), of an attention over a whole sequence.
int64_t pair_bytes(int64_t k, int64_t pairs);
int64_t sequence_scratch(int64_t positions, int64_t n, int64_t m);

// What mcu::sequence_attention_s8 adds to its scores: a table for each head, by positions or by distances.
bool fits_bias(const Operand& bias, int64_t heads, int64_t queries, int64_t positions);

}  // namespace mcu
