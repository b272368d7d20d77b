// See crc.h. A table of 16 words instead of 256: a line is short, and so is the flash.
#include "runtime/crc.h"

namespace {

constexpr uint32_t kOfNibble[16] = {
    0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C,
    0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C, 0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
};

}  // namespace

uint32_t crc_add(uint32_t crc, const char* bytes, int32_t count) {
    crc = ~crc;
    for (int32_t i = 0; i < count; ++i) {
        crc ^= static_cast<uint8_t>(bytes[i]);
        crc = crc >> 4 ^ kOfNibble[crc & 15u];
        crc = crc >> 4 ^ kOfNibble[crc & 15u];
    }
    return ~crc;
}
