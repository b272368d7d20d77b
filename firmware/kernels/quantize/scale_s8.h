// mcu_scale_s8(x, out, n, scale): out[i] = float(x[i]) * scale for n int8 values: what reading an embedding does.
#pragma once

#include "kernels/math/variant.h"

#if defined(MCU_HELIUM)
#include "kernels/quantize/scale_s8_helium.h"
#else
#include "kernels/quantize/scale_s8_portable.h"
#endif
