// Netduino Plus 2: 168 MHz from the 25 MHz crystal, USART6 on PC6 and PC7. Sections are those of RM0090.
#include "platform/cortex_m/board.h"

#include "platform/chips/stm32f4.h"

namespace {

constexpr uint32_t kOscillatorReady = 1u << 1;  // HSIRDY

// 8.4 GPIO port C
constexpr uint32_t kGpioC = 0x40020800;
constexpr uint32_t kMode = kGpioC + 0x00, kPull = kGpioC + 0x0C, kAlternateLow = kGpioC + 0x20;

}  // namespace

// The oscillator that the core starts from is ready on every chip. Only a simulator without clocks says that it is not
// (QEMU reads zero from the whole RCC), and there nothing would ever get ready.
void board_start() {
    if ((device_register(stm32f4::kClockControl) & kOscillatorReady) != 0) stm32f4::start_clocks(25);

    // A peripheral may be used two cycles after its clock was turned on (7.2.14): GPIOC waits for USART6.
    set_field(stm32f4::kAhb1Enable, 1u << 2, 1u << 2);           // GPIOC
    set_field(stm32f4::kApb2Enable, 1u << 5, 1u << 5);           // USART6
    set_field(kPull, 3u << 14, 1u << 14);                        // PC7, the receiver's, pulled up
    set_field(kAlternateLow, 0xFFu << 24, 8u << 24 | 8u << 28);  // PC6 and PC7: AF8
    set_field(kMode, 3u << 12 | 3u << 14, 2u << 12 | 2u << 14);  // alternate function
}
