/* Start-up, serial port and timer of this firmware. Nothing here is mcu-sdk's. */
#include "board.h"

#include <string.h>

#define REGISTER(address) (*(volatile uint32_t*)(address))
#define UART_DATA REGISTER(0x40004000u)
#define UART_STATE REGISTER(0x40004004u)
#define UART_CONTROL REGISTER(0x40004008u)
#define UART_DIVIDER REGISTER(0x40004010u)
#define SYSTICK_CONTROL REGISTER(0xE000E010u)
#define SYSTICK_RELOAD REGISTER(0xE000E014u)
#define SYSTICK_VALUE REGISTER(0xE000E018u)
#define CPACR REGISTER(0xE000ED88u)

int main(void);
void SysTick_Handler(void);
void Reset_Handler(void);
extern uint32_t data_load[], data_start[], data_end[], bss_start[], bss_end[], stack_top[];

void board_write(const char* text) {
    for (; *text != '\0'; ++text) {
        while (UART_STATE & 1u) {
        }
        UART_DATA = (uint8_t)*text;
    }
}

void board_start_timer(uint32_t clocks) {
    SYSTICK_RELOAD = clocks - 1u;
    SYSTICK_VALUE = 0;
    SYSTICK_CONTROL = 7u; /* the core's clock, with interrupt, on */
}

void board_exit(int code) {
    uint32_t block[2] = {0x20026u, (uint32_t)code};
    register uint32_t operation __asm__("r0") = 0x20u; /* semihosting: SYS_EXIT_EXTENDED */
    register uint32_t* argument __asm__("r1") = block;
    __asm__ volatile("bkpt 0xab" : "+r"(operation) : "r"(argument) : "memory");
    for (;;) {
    }
}

static void fault(void) {
    board_write("fault\n");
    board_exit(1);
}

/* Not a line of floating point before CPACR is written. */
void Reset_Handler(void) {
    CPACR |= 0xFu << 20;
    __asm__ volatile("dsb\n isb" ::: "memory");
    memcpy(data_start, data_load, (size_t)(data_end - data_start) * 4u);
    memset(bss_start, 0, (size_t)(bss_end - bss_start) * 4u);
    UART_DIVIDER = 217u; /* 25 MHz / 115200 */
    UART_CONTROL = 1u;
    board_exit(main());
}

__attribute__((section(".vectors"), used)) static const void* const vectors[16] = {
    stack_top,
    (const void*)Reset_Handler,
    (const void*)fault,
    (const void*)fault,
    (const void*)fault,
    (const void*)fault,
    (const void*)fault,
    0,
    0,
    0,
    0,
    (const void*)fault,
    (const void*)fault,
    0,
    (const void*)fault,
    (const void*)SysTick_Handler,
};
