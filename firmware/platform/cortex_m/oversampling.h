// For UARTs of which both the divider of the clock and the samples of a bit can be chosen: what comes nearest to the
// baud rate.
#pragma once

#include <stdint.h>

constexpr uint32_t divider_for(uint32_t samples) {
    return (MCU_UART_CLOCK_HZ + MCU_UART_BAUD * samples / 2) / (MCU_UART_BAUD * samples);
}

// How far the clock is from a bit's length with so many samples, in ticks of a second.
constexpr uint32_t error_with(uint32_t samples) {
    const uint32_t made = MCU_UART_BAUD * samples * divider_for(samples);
    return made > MCU_UART_CLOCK_HZ ? made - MCU_UART_CLOCK_HZ : MCU_UART_CLOCK_HZ - made;
}

// Of `most` down to `least` samples, 16 among them, those that come nearest.
constexpr uint32_t best_samples(uint32_t most, uint32_t least) {
    uint32_t best = 16;
    for (uint32_t samples = most; samples >= least; --samples) {
        if (divider_for(samples) > 0 && error_with(samples) < error_with(best)) best = samples;
    }
    return best;
}
