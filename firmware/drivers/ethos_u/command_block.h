// Vela's command block: the configuration that a command stream was made for, and where the stream lies.
#pragma once

#include <stdint.h>
#include <string.h>

namespace ethos_u {

struct CommandBlock {
    uint32_t config;  // what the NPU's registers CONFIG
    uint32_t id;      // and ID have to agree with
    const uint8_t* stream;
    uint32_t stream_bytes;
};

// Reads the 32-bit words in front of the stream: "COP1", then actions with their number in bits 7:0. False for
// anything that is not a whole block.
inline bool read_command_block(const uint8_t* data, uint32_t bytes, CommandBlock* block) {
    constexpr uint32_t kFourcc = 0x31504F43;  // "COP1"
    constexpr uint32_t kActionConfig = 1;
    constexpr uint32_t kActionStream = 2;
    constexpr uint32_t kActionNothing = 5;
    const uint32_t words = bytes / 4;
    const auto word = [data](uint32_t index) {
        uint32_t value;
        memcpy(&value, data + 4 * size_t(index), 4);
        return value;
    };
    if (words < 1 || bytes % 4 != 0 || word(0) != kFourcc) return false;
    bool configured = false;
    for (uint32_t i = 1; i < words;) {
        const uint32_t action = word(i++);
        switch (action & 0xFF) {
            case kActionNothing: break;
            case kActionConfig:
                if (i + 2 > words) return false;
                block->config = word(i);
                block->id = word(i + 1);
                configured = true;
                i += 2;
                break;
            case kActionStream: {
                const uint32_t length = action >> 16 | (action & 0xFF00) << 8;  // in words
                block->stream = data + 4 * size_t(i);
                block->stream_bytes = 4 * length;
                return configured && length == words - i;
            }
            default: return false;
        }
    }
    return false;
}

}  // namespace ethos_u
