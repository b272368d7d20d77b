// Which build this is: the SHA-1 that the linker computes over the image (GNU build id; `readelf -n` shows it).
#pragma once

#include <stdint.h>

inline constexpr int32_t kBuildIdBytes = 20;

// The build id, kBuildIdBytes bytes; nullptr where the program has none.
const uint8_t* build_id();
