// The build id of the running program, found as the loader mapped it.
#include "platform/build_id.h"

#include <elf.h>
#include <link.h>
#include <string.h>

namespace {

size_t padded(size_t bytes) { return (bytes + 3) & ~size_t{3}; }

// The id among the notes in memory[0..bytes), or nullptr. Each note: sizes and type, its owner's name, its content.
const uint8_t* find(const uint8_t* memory, size_t bytes) {
    ElfW(Nhdr) note;
    while (bytes >= sizeof note) {
        memcpy(&note, memory, sizeof note);
        const uint8_t* name = memory + sizeof note;
        const size_t size = sizeof note + padded(note.n_namesz) + padded(note.n_descsz);
        if (size > bytes) return nullptr;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_descsz == kBuildIdBytes && note.n_namesz == 4 &&
            memcmp(name, ELF_NOTE_GNU, 4) == 0) {
            return name + padded(note.n_namesz);
        }
        memory += size;
        bytes -= size;
    }
    return nullptr;
}

// Called for the program first, and then for no library.
int look(dl_phdr_info* program, size_t, void* found) {
    for (int i = 0; i < program->dlpi_phnum; ++i) {
        const ElfW(Phdr)& segment = program->dlpi_phdr[i];
        if (segment.p_type != PT_NOTE) continue;
        const void* memory = reinterpret_cast<const void*>(program->dlpi_addr + segment.p_vaddr);
        const uint8_t* id = find(static_cast<const uint8_t*>(memory), segment.p_memsz);
        if (id != nullptr) *static_cast<const uint8_t**>(found) = id;
    }
    return 1;
}

}  // namespace

const uint8_t* build_id() {
    const uint8_t* found = nullptr;
    dl_iterate_phdr(look, &found);
    return found;
}
