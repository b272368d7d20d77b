// Elements as they lie in memory.
#pragma once

#include <stdint.h>

// A bool is read as a byte: one of a corrupt model may be no valid bool.
template <typename T>
struct McuStoredAs {
    using Type = T;
};
template <>
struct McuStoredAs<bool> {
    using Type = uint8_t;
};
template <typename T>
using McuStored = typename McuStoredAs<T>::Type;

template <typename T>
static inline const McuStored<T>* mcu_stored(const T* x) {
    return reinterpret_cast<const McuStored<T>*>(x);
}
