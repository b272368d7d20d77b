// The caches of a Cortex-M7. ARMv7-M Architecture Reference Manual B2.2 (cache maintenance), B3.2.
#pragma once

#include <stdint.h>

#include "platform/cortex_m/registers.h"

inline void barrier() { asm volatile("dsb\n isb" ::: "memory"); }

// Turns on both caches, if they are not on: what is in them is thrown away before.
inline void enable_caches() {
    constexpr uint32_t kCcr = 0xE000ED14, kDataOn = 1u << 16, kCodeOn = 1u << 17;
    constexpr uint32_t kSelect = 0xE000ED84, kSize = 0xE000ED80;                    // CSSELR, CCSIDR
    constexpr uint32_t kInvalidateCode = 0xE000EF50, kInvalidateLine = 0xE000EF60;  // ICIALLU, DCISW
    if (!(device_register(kCcr) & kCodeOn)) {
        barrier();
        device_register(kInvalidateCode) = 0;
        barrier();
        device_register(kCcr) |= kCodeOn;
        barrier();
    }
    if (!(device_register(kCcr) & kDataOn)) {
        device_register(kSelect) = 0;
        barrier();
        const uint32_t size = device_register(kSize);
        const uint32_t last_set = size >> 13 & 0x7FFF, last_way = size >> 3 & 0x3FF, line_bits = (size & 7) + 4;
        const uint32_t way_bit = last_way == 0 ? 0 : static_cast<uint32_t>(__builtin_clz(last_way));
        for (uint32_t set = 0; set <= last_set; ++set) {
            for (uint32_t way = 0; way <= last_way; ++way) {
                device_register(kInvalidateLine) = way << way_bit | set << line_bits;
            }
        }
        barrier();
        device_register(kCcr) |= kDataOn;
        barrier();
    }
}

// What the core may do with a stretch of 2^`bits` bytes from `base` on, a multiple of its size; B3.5. Regions with a
// higher number count before those with a lower one. Without a region memory is as the architecture says by default.
enum class Access : uint32_t {
    kNone = 1u << 28,                                       // never touched, not even ahead of time
    kReadOnly = 6u << 24 | 1u << 19 | 1u << 17 | 1u << 16,  // normal, cached
};

inline void set_memory_region(uint32_t number, uint32_t base, uint32_t bits, Access access) {
    device_register(0xE000ED98) = number;                                               // MPU_RNR
    device_register(0xE000ED9C) = base;                                                 // MPU_RBAR
    device_register(0xE000EDA0) = static_cast<uint32_t>(access) | (bits - 1) << 1 | 1;  // MPU_RASR
}

inline void enable_memory_regions() {
    device_register(0xE000ED94) = 5;  // MPU_CTRL: ENABLE, PRIVDEFENA
    barrier();
}
