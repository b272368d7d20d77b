// EK-RA8D1: 20 MHz from the crystal, SCI9 on PA14 and PA15. Chapters are those of the RA8D1's "User's Manual:
// Hardware". Not run on silicon.
#include "platform/cortex_m/board.h"

#include "platform/cortex_m/registers.h"

namespace {

// "Register Write Protection": the key 0xA5, and bit 0 for the clocks
constexpr uint32_t kProtection = 0x4001E3FA;  // PRCR_S
constexpr uint16_t kUnlocked = 0xA501, kLocked = 0xA500;

// "Clock Generation Circuit"
constexpr uint32_t kDividers = 0x4001E020;     // SCKDIVCR: 0, every bus at the source's clock
constexpr uint32_t kCpuDivider = 0x4001E024;   // SCKDIVCR2, one byte: 0, so the processor
constexpr uint32_t kSource = 0x4001E026;       // SCKSCR: 3, the main oscillator
constexpr uint32_t kCrystalStop = 0x4001E032;  // MOSCCR: 0, it runs
constexpr uint32_t kCrystalMode = 0x4001EA50;  // MOMCR: bits 3:1, MODRV0: 3, 8 to 24 MHz; bit 5: written as 1
constexpr uint8_t kCrystalDrive = 3u << 1 | 1u << 5;
constexpr uint32_t kStable = 0x4001E03C;      // OSCSF: bit 3, MOSCSF
constexpr uint32_t kSciDivider = 0x4001E054;  // SCICKDIVCR: 0, by one
constexpr uint32_t kSciSource = 0x4001E055;   // SCICKCR: 3, the main oscillator
constexpr uint8_t kFromCrystal = 3, kCrystalStable = 1u << 3;
constexpr uint8_t kSwitch = 1u << 6, kMaySwitch = 1u << 7;  // SCICKSREQ, SCICKSRDY

// "Low Power Modes": MSTPCRB, bit 22: SCI9 is stopped
constexpr uint32_t kModuleStop = 0x40203004;

// "I/O Ports": PmnPFS, 0x40 a port and 4 a pin; PSEL = 5, SCI1, 3, 5, 7 and 9; PMR, for a peripheral
constexpr uint32_t kPinProtection = 0x40400D14;  // PWPR_S: 0, then bit 6, PFSWE; bit 7, B0WI, locks it
constexpr uint32_t kPortA = 0x40400800 + 0x40 * 10;
constexpr uint32_t kSci = 5u << 24, kPeripheral = 1u << 16;

// The function is chosen while the pin is still the port's.
void connect_pin(uint32_t pin) {
    device_register(kPortA + 4 * pin) = kSci;
    device_register(kPortA + 4 * pin) = kSci | kPeripheral;
}

}  // namespace

void board_start() {
    device_register16(kProtection) = kUnlocked;
    device_register8(kCrystalMode) = kCrystalDrive;
    device_register8(kCrystalStop) = 0;
    wait_for8(kStable, kCrystalStable, kCrystalStable);
    device_register(kDividers) = 0;
    device_register8(kCpuDivider) = 0;
    device_register8(kSource) = kFromCrystal;

    device_register8(kSciSource) = device_register8(kSciSource) | kSwitch;  // its clock stops
    wait_for8(kSciSource, kMaySwitch, kMaySwitch);
    device_register8(kSciDivider) = 0;
    device_register8(kSciSource) = kFromCrystal | kSwitch | kMaySwitch;
    device_register8(kSciSource) = kFromCrystal | kMaySwitch;  // and runs again
    wait_for8(kSciSource, kMaySwitch, 0);
    device_register16(kProtection) = kLocked;

    set_field(kModuleStop, 1u << 22, 0);
    device_register8(kPinProtection) = 0;
    device_register8(kPinProtection) = 1u << 6;
    connect_pin(14);
    connect_pin(15);
    device_register8(kPinProtection) = 0;
    device_register8(kPinProtection) = 1u << 7;
}
