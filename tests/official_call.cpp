// One call of a registered kernel, as ExecuTorch's runtime makes it: for tests/kernels/test_executorch_wrappers.py.
#include <executorch/runtime/core/evalue.h>
#include <executorch/runtime/core/memory_allocator.h>
#include <executorch/runtime/kernel/kernel_runtime_context.h>
#include <executorch/runtime/kernel/operator_registry.h>
#include <stddef.h>
#include <stdint.h>

#include <memory>
#include <vector>

#include "operators.h"
#include "operators/images.h"

namespace {

using executorch::aten::ArrayRef;
using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::aten::TensorImpl;
using executorch::runtime::BoxedEvalueList;
using executorch::runtime::EValue;
using executorch::runtime::KernelRuntimeContext;
using executorch::runtime::MemoryAllocator;

enum Kind : int32_t { kNone, kTensor, kInteger, kNumber, kBoolean, kIntegers, kText };

struct Argument {
    int32_t kind;
    int32_t type;  // a ScalarType's number
    void* data;
    int32_t* sizes;
    uint8_t* order;
    int64_t* list;  // or the characters of a text
    int64_t count;  // of axes, or of a list or a text
    int64_t integer;
    double number;
};

struct Holder {
    std::vector<int32_t> strides;
    std::vector<int64_t> unwrapped;
    std::vector<EValue> items;
    std::vector<EValue*> pointers;
    std::unique_ptr<TensorImpl> tensor;
    std::unique_ptr<BoxedEvalueList<int64_t>> list;
    std::unique_ptr<ArrayRef<char>> text;

    EValue value(const Argument& given) {
        const auto count = static_cast<size_t>(given.count);
        if (given.kind == kTensor) {
            strides.assign(count, 1);
            int32_t step = 1;
            for (size_t i = count; i-- > 0; step *= given.sizes[given.order[i]]) strides[given.order[i]] = step;
            tensor = std::make_unique<TensorImpl>(static_cast<ScalarType>(given.type), given.count, given.sizes,
                                                  given.data, given.order, strides.data());
            return EValue(Tensor(tensor.get()));
        }
        if (given.kind == kIntegers) {
            unwrapped.assign(count, 0);
            unwrapped.reserve(count + 1);  // an empty list has an address, too
            pointers.reserve(count + 1);
            for (size_t i = 0; i < count; ++i) items.emplace_back(given.list[i]);
            for (EValue& item : items) pointers.push_back(&item);
            list =
                std::make_unique<BoxedEvalueList<int64_t>>(pointers.data(), unwrapped.data(), static_cast<int>(count));
            return EValue(list.get());
        }
        if (given.kind == kText) {
            text = std::make_unique<ArrayRef<char>>(reinterpret_cast<const char*>(given.list), count);
            return EValue(text.get());
        }
        if (given.kind == kInteger) return EValue(given.integer);
        if (given.kind == kNumber) return EValue(given.number);
        return given.kind == kBoolean ? EValue(given.integer != 0) : EValue();
    }
};

}  // namespace

// The Error of our kernel, or with `theirs` of the one in the registry; -1 where none has that name. `scratch`: so many
// bytes of temporary memory.
extern "C" __attribute__((visibility("default"))) int32_t official_call(const char* name, const Argument* given,
                                                                        int64_t count, uint8_t* scratch, int64_t bytes,
                                                                        bool theirs) {
    const auto kernels = theirs ? executorch::runtime::get_registered_kernels() : mcu::operators();
    const auto kernel = executorch::runtime::get_op_function_from_registry(name, {}, kernels);
    if (!kernel.ok()) return -1;
    std::vector<Holder> holders(static_cast<size_t>(count));
    std::vector<EValue> values;
    for (int64_t i = 0; i < count; ++i) values.push_back(holders[static_cast<size_t>(i)].value(given[i]));
    std::vector<EValue*> stack;
    for (EValue& value : values) stack.push_back(&value);
    MemoryAllocator temporary(static_cast<uint32_t>(bytes), scratch);
    KernelRuntimeContext context(nullptr, &temporary);
    (*kernel)(context, {stack.data(), stack.size()});
    return static_cast<int32_t>(context.failure_state());
}

// Bytes of scratch as the wrappers reckon them.
#define EXPORT extern "C" __attribute__((visibility("default")))
EXPORT int64_t official_pair_bytes(int64_t k, int64_t pairs) { return mcu::pair_bytes(k, pairs); }
EXPORT int64_t official_depthwise_scratch(int32_t height, int32_t width, int32_t channels, int32_t y, int32_t x) {
    McuWindow window = {};
    window.out_height = height, window.out_width = width, window.out_channels = channels;
    window.stride_y = y, window.stride_x = x;
    return mcu::depthwise_scratch(window);
}
