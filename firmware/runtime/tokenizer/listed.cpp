// Tokens of BPE whose bytes are all written down.
#include "runtime/tokenizer/encode.h"
#include "runtime/tokenizer/unicode.h"

namespace mcu_tokenizing {

int32_t decode_listed(int32_t id, const uint8_t** bytes) {
    if (id < 0 || id >= listed.count) return 0;
    const uint32_t begin = at(listed.offsets, id);
    *bytes = listed.bytes + begin;
    return static_cast<int32_t>(at(listed.offsets, id + 1) - begin);
}

}  // namespace mcu_tokenizing
