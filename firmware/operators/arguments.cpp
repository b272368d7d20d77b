#include "operators/arguments.h"

#include <float.h>
#include <math.h>
#include <string.h>

namespace mcu {

namespace {

using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::runtime::Error;

constexpr int64_t kLimit = int64_t{1} << 30;  // kernels count in int32_t

constexpr int32_t kTypes = 7;
constexpr uint8_t kBytes[kTypes] = {1, 1, 2, 4, 8, 2, 4};  // of the types in Arguments' order

constexpr int32_t kChannelsLast[] = {0, 3, 1, 2};  // which each of an image's axes is in memory

// Whether the axes longer than one lie in memory in the order of their ranks; without ranks in their own.
bool lies_in_order(const Tensor& tensor, const int32_t* ranks = nullptr) {
    const auto order = tensor.dim_order();
    int32_t before = -1;
    for (size_t i = 0; i < order.size(); ++i) {
        const int32_t axis = order[i];
        if (axis >= tensor.dim()) return false;
        if (tensor.size(axis) == 1) continue;
        const int32_t rank = ranks == nullptr ? axis : ranks[axis];
        if (rank < before) return false;
        before = rank;
    }
    return true;
}

}  // namespace

bool Operand::is(std::initializer_list<int64_t> shape) const {
    if (static_cast<size_t>(rank) != shape.size()) return false;
    const int32_t* size = sizes;
    for (const int64_t wanted : shape) {
        if (*size++ != wanted) return false;
    }
    return true;
}

bool Operand::has_shape_of(const Operand& other) const {
    return rank == other.rank && memcmp(sizes, other.sizes, static_cast<size_t>(rank) * sizeof *sizes) == 0;
}

bool Operand::lies_as(const Operand& other) const {
    if (contiguous && other.contiguous) return true;
    return has_shape_of(other) && memcmp(order, other.order, static_cast<size_t>(rank)) == 0;
}

Arguments::Arguments(KernelRuntimeContext& context, Span<EValue*> stack, const char* name, size_t count)
    : context_(context), stack_(stack), name_(name) {
    if (stack.size() < count) refuse(MCU_TEXT("arguments are missing"));
}

void Arguments::refuse([[maybe_unused]] const char* what) {
    ET_LOG(Error, "%s: %s", name_, what);
    context_.fail(Error::InvalidArgument);
    failed_ = true;
}

Operand Arguments::wrong([[maybe_unused]] size_t index, [[maybe_unused]] const char* what) {
    ET_LOG(Error, "%s: argument %zu %s", name_, index, what);
    context_.fail(Error::InvalidArgument);
    failed_ = true;
    return {};
}

Operand Arguments::tensor(size_t index, uint32_t types) {
    const Operand operand = walked_tensor(index, types);
    return operand.contiguous ? operand : wrong(index, MCU_TEXT("is not contiguous"));
}

Operand Arguments::walked_tensor(size_t index, uint32_t types) {
    const EValue* value = at(index);
    if (value == nullptr) return {};
    if (!value->isTensor()) return wrong(index, MCU_TEXT("is no tensor"));
    const Tensor& tensor = value->toTensor();
    const int32_t type = static_cast<int32_t>(tensor.scalar_type());
    if (type < 0 || type >= kTypes || (types >> type & 1) == 0) {
        return wrong(index, MCU_TEXT("has a type that the kernel does not take"));
    }
    Operand operand;
    operand.data = static_cast<uint8_t*>(const_cast<void*>(tensor.const_data_ptr()));
    operand.count = static_cast<int64_t>(tensor.numel());
    operand.bytes = operand.count * kBytes[type];
    operand.sizes = tensor.sizes().data();
    operand.rank = static_cast<int32_t>(tensor.dim());
    operand.type = uint32_t{1} << type;
    operand.order = tensor.dim_order().data();
    operand.contiguous = lies_in_order(tensor);
    operand.channels_last = operand.rank == 4 && lies_in_order(tensor, kChannelsLast);
    operand.present = true;
    if (operand.count < 1 || operand.count > kLimit) return wrong(index, MCU_TEXT("has no element, or too many"));
    if (operand.data == nullptr) return wrong(index, MCU_TEXT("has no memory"));
    if (reinterpret_cast<uintptr_t>(operand.data) % kBytes[type] != 0) return wrong(index, MCU_TEXT("is misaligned"));
    return operand;
}

Operand Arguments::image(size_t index, uint32_t types) {
    Operand operand = walked_tensor(index, types);
    if (failed_) return {};
    if (!operand.channels_last || images_ == 2) return wrong(index, MCU_TEXT("is no image with channels last"));
    int32_t* const sizes = image_sizes_[images_++];
    for (int32_t axis = 0; axis < 4; ++axis) sizes[kChannelsLast[axis]] = operand.sizes[axis];
    operand.sizes = sizes;
    operand.contiguous = true;
    return operand;
}

Operand Arguments::optional_tensor(size_t index, uint32_t types) {
    const EValue* value = at(index);
    return value == nullptr || value->isNone() ? Operand{} : tensor(index, types);
}

int64_t Arguments::integer(size_t index) {
    const EValue* value = at(index);
    if (value == nullptr) return 0;
    const int64_t found = value->isInt() ? value->toInt() : INT64_MAX;
    if (found < INT32_MIN || found > INT32_MAX) {
        wrong(index, MCU_TEXT("is no integer of 32 bits"));
        return 0;
    }
    return found;
}

double Arguments::number(size_t index) {
    const EValue* value = at(index);
    if (value == nullptr) return 0;
    if (value->isDouble()) return value->toDouble();
    if (value->isInt()) return static_cast<double>(value->toInt());
    wrong(index, MCU_TEXT("is no number"));
    return 0;
}

bool Arguments::boolean(size_t index) {
    const EValue* value = at(index);
    if (value == nullptr) return false;
    if (value->isBool()) return value->toBool();
    wrong(index, MCU_TEXT("is no boolean"));
    return false;
}

Integers Arguments::integers(size_t index) {
    const EValue* value = at(index);
    if (value == nullptr) return {};
    if (!value->isIntList()) {
        wrong(index, MCU_TEXT("is no list of integers"));
        return {};
    }
    const auto list = value->tryToIntList();
    if (!list.ok()) {
        wrong(index, MCU_TEXT("holds something that is no integer"));
        return {};
    }
    return {list->data(), list->size()};
}

Integers Arguments::optional_integers(size_t index) {
    const EValue* value = at(index);
    return value == nullptr || value->isNone() ? Integers{} : integers(index);
}

Text Arguments::text(size_t index) {
    const EValue* value = at(index);
    if (value == nullptr) return {};
    const auto word = value->tryToString();
    if (word.ok()) return {*word};
    wrong(index, MCU_TEXT("is no word"));
    return {};
}

void Arguments::only(size_t index, double wanted) {
    const double found = number(index);
    const bool is_wanted = found >= wanted && found <= wanted;
    if (!failed_ && !is_wanted) wrong(index, MCU_TEXT("is another number than the kernel takes"));
}

void Arguments::absent(size_t index) {
    const EValue* value = at(index);
    if (value != nullptr && !value->isNone()) wrong(index, MCU_TEXT("is nothing that the kernel takes"));
}

void* Arguments::scratch(int64_t bytes) {
    const auto memory = context_.allocate_temp(static_cast<size_t>(bytes), 16);
    if (memory.ok()) return *memory;
    ET_LOG(Error, "%s: there is no temporary memory of %zu bytes", name_, static_cast<size_t>(bytes));
    context_.fail(memory.error());
    failed_ = true;
    return nullptr;
}

const int32_t* Arguments::sums(const Operand& given, const Operand& weight, const Operand& bias, int64_t offset) {
    if (given.present) return given.as<int32_t>();
    const int64_t n = weight.size(0), k = weight.count / n;
    int32_t* const sums = static_cast<int32_t*>(scratch(4 * n));
    const int8_t* row = weight.as<int8_t>();
    for (int64_t i = 0; sums != nullptr && i < n; ++i) {
        int64_t sum = 0;
        for (int64_t column = 0; column < k; ++column) sum += *row++;
        sums[i] = static_cast<int32_t>(sum * offset + (bias.present ? bias.as<int32_t>()[i] : 0));
    }
    return sums;
}

bool FourFactors::fill(int64_t all_multiplier, int64_t all_shift) {
    for (int32_t i = 0; i < 4; ++i) {
        multiplier[i] = narrow(all_multiplier);
        shift[i] = narrow(all_shift);
    }
    return true;
}

float narrow(double value) {
    if (value > static_cast<double>(FLT_MAX)) return INFINITY;
    if (value < -static_cast<double>(FLT_MAX)) return -INFINITY;
    return static_cast<float>(value);
}

int64_t halves_of(double number) {
    const double doubled = 2 * number;
    if (!(doubled > INT32_MIN && doubled < INT32_MAX)) return INT32_MAX;
    const int64_t whole = static_cast<int64_t>(doubled);
    const double back = static_cast<double>(whole);
    return back >= doubled && back <= doubled ? whole : INT32_MAX;
}

bool is_finite(double value) { return value > -1e30 && value < 1e30; }
bool is_scale(double value) { return value > 0 && value < 1e30; }
bool is_divisor(double value) {
    return value >= static_cast<double>(FLT_MIN) && value <= 1 / static_cast<double>(FLT_MIN);
}

bool requantizations(const int32_t* multiplier, const int32_t* shift, int64_t n, int32_t largest) {
    for (int64_t i = 0; i < n; ++i) {
        if (multiplier[i] < 0 || shift[i] < -31 || shift[i] > largest) return false;
    }
    return true;
}

bool packed_requantizations(const int32_t* constants, int64_t groups, int64_t rows) {
    for (int64_t group = 0; group < groups; ++group, constants += 3 * rows) {
        if (!requantizations(constants + rows, constants + 2 * rows, rows, 0)) return false;
    }
    return true;
}

bool gate_requantizations(const int32_t* constants, int64_t n) {
    return requantizations(constants + n, constants + 2 * n, n, 31) &&
           requantizations(constants + 4 * n, constants + 5 * n, n, 31);
}

bool shifts_right(const int32_t* shift, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
        if (shift[i] >= 0) return false;
    }
    return true;
}

bool within(const int32_t* values, int64_t n, int64_t limit) {
    for (int64_t i = 0; i < n; ++i) {
        if (values[i] < 0 || values[i] >= limit) return false;
    }
    return true;
}

bool not_negative(const int16_t* values, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
        if (values[i] < 0) return false;
    }
    return true;
}

float softmax_scale(int64_t multiplier, int64_t shift) {
    double scale = static_cast<double>(multiplier);
    const int64_t halvings = 31 + 26 - shift;  // 26 ... 88
    for (int64_t i = 0; i < halvings; ++i) scale /= 2;
    return narrow(scale);
}

int64_t pair_bytes(int64_t k, int64_t pairs) {
    const int64_t columns = blocks(k, 16);
    const int64_t fitting = 16 / columns < pairs ? 16 / columns : pairs;
    return 64 * columns * (fitting > 1 ? fitting : 1);
}

int64_t sequence_scratch(int64_t positions, int64_t n, int64_t m) {
    const int64_t rows = up(positions, 8), channels = up(m, 8);
    return rows * up(n, 16) + channels * up(positions, 16) + 36 * (rows > channels ? rows : channels) + up(8 * n, 16) +
           up(8 * positions, 16);
}

bool fits_bias(const Operand& bias, int64_t heads, int64_t queries, int64_t positions) {
    if (bias.rank != 4 || (bias.size(1) != 1 && bias.size(1) != heads)) return false;
    const bool by_position = bias.size(2) == queries && bias.size(3) == positions;
    return by_position || (bias.size(2) == 1 && bias.size(3) == queries + positions - 1);
}

}  // namespace mcu
