// STM32F429I-DISC1: 168 MHz from the 8 MHz crystal, USART1 on PA9 and PA10. Sections are those of RM0090.
#include "platform/cortex_m/board.h"

#include "platform/chips/stm32f4.h"

namespace {

// 8.4 GPIO port A
constexpr uint32_t kGpioA = 0x40020000;
constexpr uint32_t kMode = kGpioA + 0x00, kPull = kGpioA + 0x0C, kAlternateHigh = kGpioA + 0x24;

}  // namespace

void board_start() {
    stm32f4::start_clocks(8);

    enable_clock(stm32f4::kAhb1Enable, 1u << 0);                 // GPIOA
    enable_clock(stm32f4::kApb2Enable, 1u << 4);                 // USART1
    set_field(kPull, 3u << 20, 1u << 20);                        // PA10, the receiver's, pulled up
    set_field(kAlternateHigh, 0xFFu << 4, 7u << 4 | 7u << 8);    // PA9 and PA10: AF7
    set_field(kMode, 3u << 18 | 3u << 20, 2u << 18 | 2u << 20);  // alternate function
}
