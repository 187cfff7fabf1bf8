// AddressSanitizer's calls, and nothing where it is not in use.
#ifndef LLMPIPE_EMU_SANITIZER_H
#define LLMPIPE_EMU_SANITIZER_H

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
namespace emu {
constexpr bool kSanitized = true;
} // namespace emu
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
inline void __sanitizer_start_switch_fiber(void **, const void *, unsigned long) {}
inline void __asan_handle_no_return() {}
inline void __sanitizer_finish_switch_fiber(void *, const void **, unsigned long *) {}
namespace emu {
constexpr bool kSanitized = false;
} // namespace emu
#endif

#endif
