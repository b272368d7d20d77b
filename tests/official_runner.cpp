// A program around ExecuTorch's runtime and our operators: it reads tokens as a firmware does, or flips bytes of a
// file.
//
//   runner read FILE ROWS ID...        chunks of ROWS by the method "prefill" (0: none), the rest by "forward"
//   runner answer FILE PAD COUNT ID... COUNT by the method "encoder", filled up with PAD, then the rest by "forward"
//   runner fit FILE METHOD TEMPORARY   one step with so many bytes for the method allocator, and of temporary memory
//   runner tensors FILE INPUTS 0       steps of "forward", of which the file INPUTS has the inputs one behind the other
//   runner flip FILE SEED COUNT        COUNT times: one byte flipped, loaded, two steps; each in a process of its own
//
// MCU_INSTEAD, in the environment: which of ExecuTorch's own operators ours stand in the place of, with commas between;
// without it all that there are.
#include <executorch/extension/data_loader/buffer_data_loader.h>
#include <executorch/runtime/executor/method.h>
#include <executorch/runtime/executor/program.h>
#include <executorch/runtime/platform/runtime.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "operators.h"
#include "runtime/digest.h"

namespace {

using executorch::extension::BufferDataLoader;
using executorch::runtime::Error;
using executorch::runtime::HierarchicalAllocator;
using executorch::runtime::Kernel;
using executorch::runtime::MemoryAllocator;
using executorch::runtime::MemoryManager;
using executorch::runtime::Method;
using executorch::runtime::Program;
using executorch::runtime::Result;
using executorch::runtime::Span;

constexpr size_t kMethodBytes = 1 << 20, kTemporaryBytes = 1 << 18, kMostPlanned = 64 << 20;

// Memory that is aligned for every kernel, and nowhere longer than asked for.
struct Memory {
    explicit Memory(size_t bytes)
        : size(bytes), data(static_cast<uint8_t*>(aligned_alloc(64, (bytes + 63) / 64 * 64))) {
        if (data != nullptr) memset(data, 0, (bytes + 63) / 64 * 64);
    }
    ~Memory() { free(data); }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    size_t size;
    uint8_t* data;
};

// What is looked for before the registry.
Span<const Kernel> instead() {
    static const std::vector<Kernel> found = [] {
        const char* const said = getenv("MCU_INSTEAD");
        const std::string names = said == nullptr ? "" : "," + std::string(said) + ",";
        std::vector<Kernel> kernels;
        for (const Kernel& kernel : mcu::operators()) {
            const bool is_wanted = names.find("," + std::string(kernel.name_) + ",") != std::string::npos;
            if (said == nullptr || is_wanted) kernels.push_back(kernel);
        }
        return kernels;
    }();
    return {found.data(), found.size()};
}

// The planned memories that all methods of a program share.
struct Planned {
    std::vector<std::unique_ptr<Memory>> memories;
    std::vector<Span<uint8_t>> spans;

    Error allow(const Program& program, const char* method) {
        const auto meta = program.method_meta(method);
        if (!meta.ok()) return meta.error();
        for (size_t i = 0; i < meta->num_memory_planned_buffers(); ++i) {
            const auto size = meta->memory_planned_buffer_size(i);
            if (!size.ok()) return size.error();
            const size_t bytes = static_cast<size_t>(*size);
            if (bytes > kMostPlanned) return Error::MemoryAllocationFailed;
            if (i == memories.size()) memories.push_back(std::make_unique<Memory>(bytes));
            if (bytes > memories[i]->size) memories[i] = std::make_unique<Memory>(bytes);
        }
        return Error::Ok;
    }
    Span<Span<uint8_t>> all() {
        spans.clear();
        for (const auto& memory : memories) spans.emplace_back(memory->data, memory->size);
        return {spans.data(), spans.size()};
    }
};

// A method with its allocators.
struct Loaded {
    explicit Loaded(Planned& planned, size_t method_bytes = kMethodBytes, size_t temporary_bytes = kTemporaryBytes)
        : planned_memory(planned.all()),
          method_memory(method_bytes),
          temporary_memory(temporary_bytes),
          method_allocator(static_cast<uint32_t>(method_bytes), method_memory.data),
          temporary(static_cast<uint32_t>(temporary_bytes), temporary_memory.data),
          manager(&method_allocator, &planned_memory, &temporary) {}

    HierarchicalAllocator planned_memory;
    Memory method_memory, temporary_memory;
    MemoryAllocator method_allocator, temporary;
    MemoryManager manager;
};

// Puts values into the method's own input; false where it does not take so many.
bool fill(Method& method, size_t input, const std::vector<int64_t>& values) {
    if (input >= method.inputs_size() || !method.get_input(input).isTensor()) return false;
    const auto& tensor = method.get_input(input).toTensor();
    const size_t bytes = values.size() * sizeof(int64_t);
    if (tensor.nbytes() != bytes || tensor.const_data_ptr() == nullptr) return false;
    memcpy(tensor.mutable_data_ptr(), values.data(), bytes);
    return true;
}

// One call: ids and their positions from `first` on, and what further inputs hold; false where the runtime refused.
bool call(Method& method, const std::vector<int64_t>& ids, int64_t first, const std::vector<int64_t>& further = {}) {
    std::vector<int64_t> positions(ids.size());
    for (size_t i = 0; i < ids.size(); ++i) positions[i] = first + static_cast<int64_t>(i);
    if (method.inputs_size() != 2 + further.size() || !fill(method, 0, ids) || !fill(method, 1, positions))
        return false;
    for (size_t i = 0; i < further.size(); ++i) {
        if (!fill(method, 2 + i, {further[i]})) return false;
    }
    return method.execute() == Error::Ok;
}

void add_logits(Digest& digest, Method& method) {
    const auto& logits = method.get_output(0).toTensor();
    digest.add_f32(logits.const_data_ptr(), static_cast<size_t>(logits.numel()));
}

std::vector<uint8_t> contents(const char* path) {
    std::vector<uint8_t> bytes;
    FILE* file = fopen(path, "rb");
    if (file == nullptr) return bytes;
    uint8_t block[4096];
    for (size_t count; (count = fread(block, 1, sizeof block, file)) > 0;)
        bytes.insert(bytes.end(), block, block + count);
    fclose(file);
    return bytes;
}

int read(const std::vector<uint8_t>& file, size_t rows, const std::vector<int64_t>& ids) {
    Memory aligned(file.size());
    memcpy(aligned.data, file.data(), file.size());
    BufferDataLoader loader(aligned.data, file.size());
    Result<Program> program = Program::load(&loader);
    if (!program.ok()) return 3;
    Planned planned;
    if (planned.allow(*program, "forward") != Error::Ok) return 3;
    if (rows > 0 && planned.allow(*program, "prefill") != Error::Ok) return 3;
    Loaded step(planned), chunk(planned);
    Result<Method> forward = program->load_method("forward", &step.manager, nullptr, nullptr, nullptr, instead());
    if (!forward.ok()) return 3;
    std::unique_ptr<Method> prefill;
    if (rows > 0) {
        Result<Method> found = program->load_method("prefill", &chunk.manager, nullptr, nullptr, nullptr, instead());
        if (!found.ok()) return 3;
        prefill = std::make_unique<Method>(std::move(*found));
    }
    Digest digest;
    for (size_t at = 0; at < ids.size();) {
        const bool whole = rows > 0 && ids.size() - at >= rows;
        Method& method = whole ? *prefill : *forward;
        const size_t count = whole ? rows : 1;
        const auto begin = ids.begin() + static_cast<ptrdiff_t>(at);
        if (!call(method, {begin, begin + static_cast<ptrdiff_t>(count)}, static_cast<int64_t>(at))) return 3;
        add_logits(digest, method);
        at += count;
    }
    printf("digest %016llx method %zu\n", static_cast<unsigned long long>(digest.value()),
           step.method_allocator.used_size());
    return 0;
}

int answer(const std::vector<uint8_t>& file, int64_t pad, size_t count, const std::vector<int64_t>& ids) {
    Memory aligned(file.size());
    memcpy(aligned.data, file.data(), file.size());
    BufferDataLoader loader(aligned.data, file.size());
    Result<Program> program = Program::load(&loader);
    if (!program.ok() || count == 0 || count > ids.size()) return 3;
    Planned planned;
    for (const char* name : {"encoder", "forward"}) {
        if (planned.allow(*program, name) != Error::Ok) return 3;
    }
    Loaded source(planned), step(planned);
    Result<Method> encoder = program->load_method("encoder", &source.manager, nullptr, nullptr, nullptr, instead());
    Result<Method> forward = program->load_method("forward", &step.manager, nullptr, nullptr, nullptr, instead());
    if (!encoder.ok() || !forward.ok() || encoder->inputs_size() != 2) return 3;
    const size_t length = static_cast<size_t>(encoder->get_input(0).toTensor().numel());
    if (count > length) return 3;
    std::vector<int64_t> read(ids.begin(), ids.begin() + static_cast<ptrdiff_t>(count)), counts(length, 0);
    read.resize(length, pad);
    std::fill_n(counts.begin(), count, 1);
    if (!fill(*encoder, 0, read) || !fill(*encoder, 1, counts) || encoder->execute() != Error::Ok) return 3;
    Digest digest;
    for (size_t at = count; at < ids.size(); ++at) {
        const int64_t position = static_cast<int64_t>(at - count);
        if (!call(*forward, {ids[at]}, position, {static_cast<int64_t>(count) - 1})) return 3;
        add_logits(digest, *forward);
    }
    printf("digest %016llx\n", static_cast<unsigned long long>(digest.value()));
    return 0;
}

int tensors(const std::vector<uint8_t>& file, const std::vector<uint8_t>& inputs) {
    Memory aligned(file.size());
    memcpy(aligned.data, file.data(), file.size());
    BufferDataLoader loader(aligned.data, file.size());
    Result<Program> program = Program::load(&loader);
    Planned planned;
    if (!program.ok() || planned.allow(*program, "forward") != Error::Ok) return 3;
    Loaded step(planned);
    Result<Method> forward = program->load_method("forward", &step.manager, nullptr, nullptr, nullptr, instead());
    if (!forward.ok()) return 3;
    Digest digest;
    for (size_t at = 0; at < inputs.size();) {
        for (size_t i = 0; i < forward->inputs_size(); ++i) {
            if (!forward->get_input(i).isTensor()) return 3;
            const auto& tensor = forward->get_input(i).toTensor();
            if (tensor.const_data_ptr() == nullptr || tensor.nbytes() > inputs.size() - at) return 3;
            memcpy(tensor.mutable_data_ptr(), inputs.data() + at, tensor.nbytes());
            at += tensor.nbytes();
        }
        if (forward->execute() != Error::Ok) return 3;
        for (size_t i = 0; i < forward->outputs_size(); ++i) {
            const auto& tensor = forward->get_output(i).toTensor();
            digest.add_f32(tensor.const_data_ptr(), static_cast<size_t>(tensor.numel()));
        }
    }
    printf("digest %016llx\n", static_cast<unsigned long long>(digest.value()));
    return 0;
}

int fit(const std::vector<uint8_t>& file, size_t method_bytes, size_t temporary_bytes) {
    Memory aligned(file.size());
    memcpy(aligned.data, file.data(), file.size());
    BufferDataLoader loader(aligned.data, file.size());
    Result<Program> program = Program::load(&loader);
    Planned planned;
    if (!program.ok() || planned.allow(*program, "forward") != Error::Ok) return 4;
    Loaded step(planned, method_bytes, temporary_bytes);
    Result<Method> forward = program->load_method("forward", &step.manager, nullptr, nullptr, nullptr, instead());
    if (!forward.ok()) return 3;
    if (!call(*forward, {3}, 0)) return 3;
    printf("method %zu\n", step.method_allocator.used_size());
    return 0;
}

// One step of any method: a token and its position where it takes these, and otherwise what its memory holds.
bool run(Method& method, int64_t token, int64_t position) {
    if (method.inputs_size() == 2 && fill(method, 0, {token})) fill(method, 1, {position});
    for (size_t i = 0; i < method.inputs_size(); ++i) method.get_input(i);  // which calls it set
    return method.execute() == Error::Ok;
}

// Two steps of a file that may say anything: 0 where they ran, 3 where something was refused.
int try_steps(const std::vector<uint8_t>& file) {
    Memory aligned(file.size());
    memcpy(aligned.data, file.data(), file.size());
    BufferDataLoader loader(aligned.data, file.size());
    Result<Program> program = Program::load(&loader, Program::Verification::InternalConsistency);
    if (!program.ok()) return 3;
    Planned planned;
    if (planned.allow(*program, "forward") != Error::Ok) return 3;
    Loaded step(planned);
    Result<Method> forward = program->load_method("forward", &step.manager, nullptr, nullptr, nullptr, instead());
    if (!forward.ok()) return 3;
    return run(*forward, 3, 0) && run(*forward, 1, 1) ? 0 : 3;
}

int flip(std::vector<uint8_t> file, uint64_t seed, int count) {
    uint32_t program_bytes;  // what is before the segments, which hold weights
    memcpy(&program_bytes, file.data() + 16, sizeof program_bytes);
    const size_t end = std::min<size_t>(program_bytes, file.size());
    int ran = 0, refused = 0, aborted = 0, found = 0;
    for (int i = 0; i < count; ++i) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const size_t at = (seed >> 20) % end;
        const uint8_t bits = static_cast<uint8_t>(1u << (seed >> 60 & 7));
        file[at] ^= bits;
        fflush(nullptr);
        const pid_t child = fork();
        if (child == 0) {
            fprintf(stderr, "flip %zu %u\n", at, static_cast<unsigned>(bits));
            _exit(try_steps(file));
        }
        int status = 0;
        waitpid(child, &status, 0);
        file[at] ^= bits;
        const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        ran += code == 0;
        refused += code == 3;
        aborted += code == -1;  // the runtime's own check, or its own fault
        found += code > 3;      // a sanitizer's
    }
    printf("ran %d refused %d aborted %d found %d\n", ran, refused, aborted, found);
    return 0;
}

}  // namespace

int main(int count, char** words) {
    if (count < 5) return 2;
    executorch::runtime::runtime_init();
    if (mcu::register_operators() != Error::Ok) return 2;
    const std::vector<uint8_t> file = contents(words[2]);
    if (file.size() < 64) return 2;
    if (strcmp(words[1], "flip") == 0) return flip(file, strtoull(words[3], nullptr, 10), atoi(words[4]));
    if (strcmp(words[1], "fit") == 0) return fit(file, strtoul(words[3], nullptr, 10), strtoul(words[4], nullptr, 10));
    if (strcmp(words[1], "tensors") == 0) return tensors(file, contents(words[3]));
    const bool answers = strcmp(words[1], "answer") == 0;
    std::vector<int64_t> ids;
    for (int i = answers ? 5 : 4; i < count; ++i) ids.push_back(atoll(words[i]));
    if (answers) return answer(file, atoll(words[3]), strtoul(words[4], nullptr, 10), ids);
    return read(file, strtoul(words[3], nullptr, 10), ids);
}
