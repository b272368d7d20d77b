// See method.h.
#include "executor/method.h"

#include <executorch/runtime/core/data_loader.h>
#include <executorch/runtime/core/freeable_buffer.h>
#include <executorch/runtime/executor/program.h>
#include <executorch/runtime/platform/runtime.h>
#include <string.h>

#include <new>
#include <utility>

#include "model/operators.h"
#include "runtime/crc.h"

namespace executor {

namespace {

using executorch::aten::Tensor;
using executorch::runtime::DataLoader;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::FreeableBuffer;
using executorch::runtime::HierarchicalAllocator;
using executorch::runtime::Kernel;
using executorch::runtime::MemoryAllocator;
using executorch::runtime::MemoryManager;
using executorch::runtime::Method;
using executorch::runtime::MethodMeta;
using executorch::runtime::Program;
using executorch::runtime::Result;
using executorch::runtime::Span;
using executorch::runtime::TensorInfo;

// Temporary memory that remembers how much of it was needed.
class Temporary final : public MemoryAllocator {
  public:
    using MemoryAllocator::MemoryAllocator;

    void* allocate(size_t size, size_t alignment) override {
        void* const memory = MemoryAllocator::allocate(size, alignment);
        if (memory != nullptr && used_size() > peak_) peak_ = used_size();
        return memory;
    }

    size_t peak() const { return peak_; }

  private:
    size_t peak_ = 0;
};

// The .pte where it lies. ExecuTorch has such a loader as well, whose header an installation of its sources leaves out.
class InPlace final : public DataLoader {
  public:
    explicit InPlace(const Memory& file) : file_(file) {}

    Result<FreeableBuffer> load(size_t offset, size_t size, const SegmentInfo&) const override {
        if (!has(offset, size)) return Error::InvalidArgument;
        return FreeableBuffer(file_.data + offset, size, nullptr);
    }

    Error load_into(size_t offset, size_t size, const SegmentInfo&, void* buffer) const override {
        if (!has(offset, size) || buffer == nullptr) return Error::InvalidArgument;
        memcpy(buffer, file_.data + offset, size);
        return Error::Ok;
    }

    Result<size_t> size() const override { return file_.bytes; }

  private:
    bool has(size_t offset, size_t size) const { return offset <= file_.bytes && size <= file_.bytes - offset; }

    Memory file_;
};

bool opened = false;
Shared shared = {{nullptr, 0}, {nullptr, 0}, {nullptr, 0}, nullptr, false, 0};
size_t kernel_count = 0;
alignas(16) uint8_t temporary_storage[sizeof(Temporary)];
alignas(16) uint8_t loader_storage[sizeof(InPlace)];
alignas(16) uint8_t program_storage[sizeof(Program)];
bool program_loaded = false;

Temporary* temporary() { return std::launder(reinterpret_cast<Temporary*>(temporary_storage)); }
Program* program() { return std::launder(reinterpret_cast<Program*>(program_storage)); }
Method* method_in(Slot* slot) { return std::launder(reinterpret_cast<Method*>(slot->method)); }

bool fail(const char* reason, const char* what, Error error) {
    executor_failed(reason, what, static_cast<uint32_t>(error));
    return false;
}

// Whether the planned memories are as many and as large as the file asks for.
bool fits(const MethodMeta& meta, const Plan& plan) {
    const size_t count = meta.num_memory_planned_buffers();
    if (count > static_cast<size_t>(plan.planned_count)) return false;
    for (size_t i = 0; i < count; ++i) {
        const Result<int64_t> size = meta.memory_planned_buffer_size(i);
        if (!size.ok() || *size < 0 || static_cast<uint64_t>(*size) > plan.planned[i].bytes) return false;
    }
    return true;
}

// A method's input. ExecuTorch would rather be given inputs than say where it planned them, which is where they are
// made.
const EValue& input_of(const Method& method, size_t index) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    return method.get_input(index);
#pragma GCC diagnostic pop
}

// Whether a tensor of the method's lies where model.h says. One that the file plans no memory for has none yet.
bool lies_at(const EValue& value, const model::Tensor& expected) {
    if (!value.isTensor()) return false;
    const Tensor& tensor = value.toTensor();
    if (tensor.nbytes() != expected.bytes) return false;
    return expected.bytes == 0 || tensor.const_data_ptr() == expected.data;
}

// Gives an input that the file plans no memory for its own.
Error place_input(Method* method, size_t index, const TensorInfo& info, const model::Tensor& tensor) {
    const auto sizes = info.sizes();
    const auto order = info.dim_order();
    executorch::aten::TensorImpl impl(info.scalar_type(), static_cast<ssize_t>(sizes.size()),
                                      const_cast<executorch::aten::SizesType*>(sizes.data()), tensor.data,
                                      const_cast<executorch::aten::DimOrderType*>(order.data()));
    return method->set_input(EValue(Tensor(&impl)), index);
}

// Inputs and outputs: as many as model.h has, and where it says.
Error place(Method* method, const Plan& plan) {
    const MethodMeta meta = method->method_meta();
    if (meta.num_inputs() != static_cast<size_t>(plan.input_count)) return Error::InvalidProgram;
    if (meta.num_outputs() != static_cast<size_t>(plan.output_count)) return Error::InvalidProgram;
    for (size_t i = 0; i < meta.num_inputs(); ++i) {
        const model::Tensor& tensor = plan.inputs[i];
        const Result<TensorInfo> info = meta.input_tensor_meta(i);
        if (!info.ok() || info->nbytes() != tensor.bytes) return Error::InvalidProgram;
        if (!info->is_memory_planned()) {
            const Error error = place_input(method, i, *info, tensor);
            if (error != Error::Ok) return error;
        }
        if (!lies_at(input_of(*method, i), tensor)) return Error::InvalidProgram;
    }
    for (size_t i = 0; i < meta.num_outputs(); ++i) {
        const model::Tensor& tensor = plan.outputs[i];
        const Result<TensorInfo> info = meta.output_tensor_meta(i);
        if (!info.ok() || info->nbytes() != tensor.bytes) return Error::InvalidProgram;
        if (!info->is_memory_planned() && method->get_output(i).toTensor().const_data_ptr() == nullptr) {
            const Error error = method->set_output_data_ptr(tensor.data, tensor.bytes, i);
            if (error != Error::Ok) return error;
        }
        if (!lies_at(method->get_output(i), tensor)) return Error::InvalidProgram;
    }
    return Error::Ok;
}

// The operator that no kernel was linked for, or where that cannot be told the method.
const char* missing_operator(const Plan& plan) {
    for (const char* const* name = shared.foreign; *name != nullptr; ++name) {
        if (!executorch::runtime::registry_has_op_function(*name)) return *name;
    }
    return plan.name;
}

Kernel* kernels() { return std::launder(reinterpret_cast<Kernel*>(shared.kernels.data)); }

void add_kernel(const Kernel& kernel) {
    if ((kernel_count + 1) * sizeof kernel > shared.kernels.bytes) return;
    new (shared.kernels.data + kernel_count * sizeof kernel) Kernel(kernel);
    ++kernel_count;
}

// Our kernels, and beside them those of ExecuTorch's libraries, where there is one for an operator: it would look for
// each among ours first, and log that it is not there. An operator with several kernels is left to it.
void find_kernels() {
    for (const Kernel& kernel : mcu::operators()) add_kernel(kernel);
    for (const char* const* name = shared.foreign; *name != nullptr; ++name) {
        const Kernel* found = nullptr;
        int32_t count = 0;
        for (const Kernel& kernel : executorch::runtime::get_registered_kernels()) {
            if (strcmp(kernel.name_, *name) != 0) continue;
            found = &kernel;
            ++count;
        }
        if (count == 1) add_kernel(*found);
    }
}

bool load_program() {
    if (program_loaded) return true;
    const char* const bytes = reinterpret_cast<const char*>(shared.file.data);
    if (shared.is_apart && crc_add(kCrcOfNothing, bytes, static_cast<int32_t>(shared.file.bytes)) != shared.crc) {
        return fail("executorch_other_program", "model.pte", Error::InvalidProgram);
    }
    executorch::runtime::runtime_init();
    auto* const loader = new (loader_storage) InPlace(shared.file);
    Result<Program> found = Program::load(loader);
    if (!found.ok()) return fail("executorch_pte_not_loaded", "model.pte", found.error());
    new (program_storage) Program(std::move(*found));
    find_kernels();
    program_loaded = true;
    return true;
}

bool load(const Plan& plan, Slot* slot) {
    if (!load_program()) return false;
    const Result<MethodMeta> meta = program()->method_meta(plan.name);
    if (!meta.ok()) return fail("executorch_other_program", plan.name, meta.error());
    if (plan.planned_count > kMostMemories || !fits(*meta, plan)) {
        return fail("executorch_planned_memory_too_small", plan.name, Error::MemoryAllocationFailed);
    }
    for (int32_t i = 0; i < plan.planned_count; ++i) {
        new (slot->planned[i]) Span<uint8_t>(plan.planned[i].data, plan.planned[i].bytes);
    }
    auto* const first = std::launder(reinterpret_cast<Span<uint8_t>*>(slot->planned));
    const Span<Span<uint8_t>> spans(first, static_cast<size_t>(plan.planned_count));
    auto* const planned = new (slot->planned_allocator) HierarchicalAllocator(spans);
    auto* const own =
        new (slot->method_allocator) MemoryAllocator(static_cast<uint32_t>(plan.allocator.bytes), plan.allocator.data);
    auto* const manager = new (slot->manager) MemoryManager(own, planned, temporary());
    Result<Method> found =
        program()->load_method(plan.name, manager, nullptr, nullptr, nullptr, {kernels(), kernel_count});
    if (!found.ok()) {
        switch (found.error()) {
            case Error::MemoryAllocationFailed:
                return fail("executorch_method_memory_too_small", plan.name, found.error());
            case Error::OperatorMissing:
                return fail("executorch_operator_missing", missing_operator(plan), found.error());
            default: return fail("executorch_method_not_loaded", plan.name, found.error());
        }
    }
    const Error error = place(&*found, plan);
    if (error != Error::Ok) return fail("executorch_other_program", plan.name, error);
    new (slot->method) Method(std::move(*found));
    slot->loaded = true;
    return true;
}

}  // namespace

void open(const Shared& given) {
    if (opened) return;
    shared = given;
    const Memory& memory = shared.temporary;
    new (temporary_storage) Temporary(static_cast<uint32_t>(memory.bytes), memory.data);
    opened = true;
}

bool run(const Plan& plan, Slot* slot) {
    if (!slot->loaded && !load(plan, slot)) return false;
    const Error error = method_in(slot)->execute();
    if (error == Error::Ok) return true;
    return fail(error == Error::MemoryAllocationFailed ? "executorch_temporary_memory_too_small"
                                                       : "executorch_operator_refused",
                plan.name, error);
}

size_t temporary_peak() { return opened ? temporary()->peak() : 0; }

}  // namespace executor
