// CRC-32 as zlib, PNG and Ethernet have it: polynomial 0xEDB88320, reflected, all ones before and inverted after.
#pragma once

#include <stdint.h>

inline constexpr uint32_t kCrcOfNothing = 0;

// The CRC of what `crc` is of, followed by bytes[0..count).
uint32_t crc_add(uint32_t crc, const char* bytes, int32_t count);
