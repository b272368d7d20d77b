// Walking two float operands that broadcast to one output, four at a time where the core has vectors.
//
// mcu_broadcast_f32(a, b, out, shape, axes, operation): calls operation(a, b), which takes floats and vectors of four,
// for each element of a contiguous output. shape: as for mcu_broadcast.
#pragma once

#include "kernels/math/variant.h"

#if defined(MCU_HELIUM_FLOAT)
#include "kernels/elementwise/broadcast_f32_helium.h"
#else
#include "kernels/elementwise/broadcast_f32_portable.h"
#endif
