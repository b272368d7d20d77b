// Writing one position of an int8 cache: q = rint(x * inverse) within [-127, 127], with a factor for each channel or
// one for all.
//
// mcu_write_row(x, inverse, to, n): to[i] = q[i]. mcu_write_column(x, inverse, to, step, n): to[i * step] = q[i].
#pragma once

#include "kernels/math/variant.h"

#if defined(MCU_HELIUM_FLOAT)
#include "kernels/attention/cache_row_helium.h"
#else
#include "kernels/attention/cache_row_portable.h"
#endif
