// Two lines at a time of a depthwise convolution's outputs on Helium, six or twelve outputs each, so that fours of them
// are whole: kernels/conv/depthwise_pairs_s8_helium.S.
#pragma once

#include "kernels/conv/depthwise_line_s8.h"

#if defined(MCU_HELIUM)
// What mcu_depthwise_lines_1_s8 computes, for lines of 6 outputs whose words begin 8 pixels apart; as many as `lines`
// says, an even number. line_step + 11 * step < 2^16, here and below.
extern "C" void mcu_depthwise_sixes_s8(const McuDepthwiseLine* line);

// The same for two lines of 12 outputs, whose words begin 14 pixels apart; and for windows two pixels apart, 26.
extern "C" void mcu_depthwise_twelves_1_s8(const McuDepthwiseLine* line);
extern "C" void mcu_depthwise_twelves_2_s8(const McuDepthwiseLine* line);
#endif
