// What boards with ST's STM32F405, F407, F427 and F429 have in common: 168 MHz from a crystal, flash wait states and
// caches. Sections are those of RM0090.
#pragma once

#include <stdint.h>

#include "platform/cortex_m/registers.h"

namespace stm32f4 {

// 6.3, 7.3 RCC
constexpr uint32_t kRcc = 0x40023800;
constexpr uint32_t kClockControl = kRcc + 0x00;        // CR
constexpr uint32_t kPllConfiguration = kRcc + 0x04;    // PLLCFGR
constexpr uint32_t kClockConfiguration = kRcc + 0x08;  // CFGR
constexpr uint32_t kAhb1Enable = kRcc + 0x30;          // AHB1ENR
constexpr uint32_t kApb2Enable = kRcc + 0x44;          // APB2ENR
constexpr uint32_t kCrystalOn = 1u << 16, kCrystalReady = 1u << 17;
constexpr uint32_t kPllOn = 1u << 24, kPllReady = 1u << 25;
constexpr uint32_t kPllMask = 0x0F437FFF;  // Q, SRC, P, N, M

constexpr uint32_t kDividersMask = 7u << 13 | 7u << 10 | 15u << 4;  // PPRE2, PPRE1, HPRE
constexpr uint32_t kDividers = 4u << 13 | 5u << 10;                 // APB2: 84 MHz, APB1: 42 MHz

constexpr uint32_t kFlashAccess = 0x40023C00;               // 3.9.1 FLASH_ACR
constexpr uint32_t kFiveWaitStates = 5, kCaches = 7u << 8;  // LATENCY; prefetch, instruction and data cache

// Crystal / M * N / P: 1 MHz into the PLL, 336 MHz in it, 168 MHz out of it. Q gives USB its 48 MHz.
inline void start_clocks(uint32_t crystal_mhz) {
    set_field(kClockControl, kCrystalOn, kCrystalOn);
    wait_for(kClockControl, kCrystalReady, kCrystalReady);
    set_field(kPllConfiguration, kPllMask, 7u << 24 | 1u << 22 | 0u << 16 | 336u << 6 | crystal_mhz);
    set_field(kClockControl, kPllOn, kPllOn);
    wait_for(kClockControl, kPllReady, kPllReady);
    set_field(kFlashAccess, 7u | kCaches, kFiveWaitStates | kCaches);
    wait_for(kFlashAccess, 7, kFiveWaitStates);
    set_field(kClockConfiguration, kDividersMask, kDividers);
    set_field(kClockConfiguration, 3, 2);  // SW: the PLL
    wait_for(kClockConfiguration, 3u << 2, 2u << 2);
}

}  // namespace stm32f4
