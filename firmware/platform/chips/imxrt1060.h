// What boards with NXP's i.MX RT1060 have in common: 600 MHz, watchdogs, caches, memory that is not there, and what the
// boot ROM reads from the flash. Chapters are those of IMXRT1060RM (Rev. 3).
#pragma once

#include <stdint.h>

#include "platform/cortex_m/cache.h"
#include "platform/cortex_m/registers.h"

namespace imxrt {

// 14 CCM
constexpr uint32_t kCcm = 0x400FC000;
constexpr uint32_t kCacrr = kCcm + 0x10, kCbcdr = kCcm + 0x14, kCbcmr = kCcm + 0x18, kCscdr1 = kCcm + 0x24;
constexpr uint32_t kHandshake = kCcm + 0x48;  // CDHIPR
constexpr uint32_t kGates3 = kCcm + 0x74, kGates4 = kCcm + 0x78, kGates5 = kCcm + 0x7C,
                   kGates6 = kCcm + 0x80;  // CCGRn: two bits for each
constexpr uint32_t kArmPll = 0x400D8000;
constexpr uint32_t kVoltage = 0x4008000C, kVoltageStatus = 0x40080000;  // 18 DCDC: REG3, REG0

inline void gate_on(uint32_t address, uint32_t number) { enable_clock(address, 3u << 2 * number); }

// 1.275 V (1.25 V are needed for 600 MHz: IMXRT1060CEC 4.1.3), then the PLL's 1,200 MHz halved, the peripherals' bus at
// a quarter of that. The core runs from the crystal meanwhile; the flash has a clock of its own.
inline void start_clocks() {
    gate_on(kGates6, 3);  // DCDC
    set_field(kVoltage, 31, 0x13);
    wait_for(kVoltageStatus, 1u << 31, 1u << 31);

    set_field(kCbcmr, 3u << 12, 1u << 12);  // PERIPH_CLK2_SEL: crystal
    wait_for(kHandshake, 1u << 3, 0);
    set_field(kCbcdr, 7u << 27, 0);         // PERIPH_CLK2_PODF
    set_field(kCbcdr, 1u << 25, 1u << 25);  // PERIPH_CLK_SEL: PERIPH_CLK2
    wait_for(kHandshake, 1u << 5, 0);

    set_field(kArmPll, 1u << 16, 1u << 16);                                     // BYPASS
    set_field(kArmPll, 3u << 14 | 1u << 12 | 1u << 13 | 0x7F, 1u << 13 | 100);  // crystal, on, ENABLE, 24 MHz * 100 / 2
    wait_for(kArmPll, 1u << 31, 1u << 31);
    set_field(kArmPll, 1u << 16, 0);

    set_field(kCacrr, 7, 1);  // ARM_PODF: half
    wait_for(kHandshake, 1u << 16, 0);
    set_field(kCbcdr, 7u << 10 | 3u << 8, 3u << 8);  // AHB_PODF: whole, IPG_PODF: a quarter
    wait_for(kHandshake, 1u << 1, 0);
    set_field(kCbcmr, 3u << 18, 3u << 18);  // PRE_PERIPH_CLK_SEL: this PLL
    set_field(kCbcdr, 1u << 25, 0);
    wait_for(kHandshake, 1u << 5, 0);

    set_field(kCscdr1, 1u << 6 | 0x3F, 1u << 6);  // UARTs: crystal, 24 MHz
}

// 58 and 59: the power-down counters of WDOG1 and 2 pull a pin after 16 s; WDOG3 is on after reset.
inline void stop_watchdogs() {
    gate_on(kGates3, 8);
    gate_on(kGates5, 5);
    gate_on(kGates5, 2);
    device_register16(0x400B8008) = 0;
    device_register16(0x400D0008) = 0;
    constexpr uint32_t kControl = 0x400BC000, kCount = 0x400BC004, kTimeout = 0x400BC008;
    if (device_register(kControl) & 1u << 7) {
        device_register(kCount) = 0xD928C520;  // unlocked for 128 cycles of the bus
        device_register(kTimeout) = 0xFFFF;
        set_field(kControl, 1u << 7, 1u << 5);  // not EN, UPDATE
    }
}

// Reads ahead of time go wherever the default map says that memory is: to the rest of the FlexSPI's window, and to
// SDRAM that nobody set up, which never answers.
inline void protect(uint32_t flash_bits) {
    set_memory_region(0, 0x60000000, 29, Access::kNone);
    set_memory_region(1, 0x80000000, 29, Access::kNone);
    set_memory_region(2, 0x60000000, flash_bits, Access::kReadOnly);
    enable_memory_regions();
}

// 9.6.3.1: how the ROM is to read the flash (FlexSPI configuration block); 9.7.1: where the image is (image vector
// table, boot data). Words that are not named are zero.
struct BootHeader {
    struct FlashConfiguration {
        uint32_t tag, version, reserved0;
        uint8_t read_sample_clock, cs_hold_time, cs_setup_time, reserved1[49];
        uint32_t controller_options;
        uint8_t device_type, pads, clock, reserved2[9];
        uint32_t size_a1, reserved3[11];
        uint32_t lookup[64];
        uint32_t reserved4[16];
        uint32_t page_bytes, sector_bytes, reserved5[14];
    } flash;
    uint8_t reserved[0x1000 - 0x200];
    struct ImageVectorTable {
        uint32_t header;
        const void* vectors;
        uint32_t reserved0, device_configuration;
        const void* boot_data;
        const void* self;
        uint32_t signature, reserved1;
    } image;
    struct BootData {
        const void* start;
        uint32_t bytes, plugin;
    } boot;
};
static_assert(sizeof(BootHeader::FlashConfiguration) == 512 && sizeof(BootHeader) == 0x102C, "the ROM counts bytes");

// A quad flash that takes 0xEB (fast read, quad input and output, six dummy cycles), at 100 MHz.
constexpr BootHeader::FlashConfiguration quad_flash(uint32_t bytes) {
    BootHeader::FlashConfiguration flash{};
    flash.tag = 0x42464346;  // "FCFB"
    flash.version = 0x56010400;
    flash.read_sample_clock = 1;  // looped back from the DQS pad
    flash.cs_hold_time = 3;
    flash.cs_setup_time = 3;
    flash.device_type = 1;  // serial NOR
    flash.pads = 4;
    flash.clock = 6;  // 100 MHz
    flash.size_a1 = bytes;
    flash.lookup[0] = 0x0A1804EB;  // command 0xEB on one pad, 24 bits of address on four
    flash.lookup[1] = 0x26043206;  // six dummy cycles, read on four pads
    flash.page_bytes = 256;
    flash.sector_bytes = 4096;
    return flash;
}

}  // namespace imxrt

// The header of an image in `flash_bytes` of flash at 0x60000000.
#define IMXRT_BOOT_HEADER(flash_bytes)                                                                             \
    extern "C" const uint32_t __vectors[];                                                                         \
    extern "C" __attribute__((section(".boot_header"), used))                                                      \
    const imxrt::BootHeader boot_header = {imxrt::quad_flash(flash_bytes),                                         \
                                           {},                                                                     \
                                           {0x402000D1, __vectors, 0, 0, &boot_header.boot, &boot_header.image, 0, \
                                            0}, /* as the ROM wants: no code's address, the vectors' */            \
                                           {&boot_header, flash_bytes, 0}}
