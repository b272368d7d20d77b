#include "kernels/conv/depthwise_conv2d_s8.h"

#include "kernels/math/variant.h"

#if defined(MCU_HELIUM)
#include "kernels/conv/depthwise_conv2d_s8_helium.h"
#elif defined(MCU_DSP)
#include "kernels/conv/depthwise_conv2d_s8_dsp.h"
#else
void mcu_depthwise_conv2d_s8(const int8_t* x, const int8_t* weight, const int32_t* bias, const int32_t* multiplier,
                             const int32_t* shift, int8_t* out, const McuWindow* window,
                             const McuConvolution* convolution, void* scratch) {
    static_cast<void>(scratch);
    mcu_conv2d_s8(x, weight, bias, multiplier, shift, out, window, convolution);
}
#endif
