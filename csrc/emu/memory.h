// Device memory and the memory of blocks.
#ifndef LLMPIPE_EMU_MEMORY_H
#define LLMPIPE_EMU_MEMORY_H

#include <stddef.h>

namespace emu {

// Null when there is none. Filled with a pattern that is nan in every floating-point type.
void *allocate(size_t bytes);
// False for an address that is not of a live buffer.
bool release(void *ptr);
// True if [ptr, ptr + bytes) lies in one live buffer.
bool is_device(const void *ptr, size_t bytes);
// The beginning of the live buffer that holds ptr; null when there is none.
const void *buffer_of(const void *ptr);
size_t free_bytes();

// While one of these lives, device code runs, or what stands for the device itself: outside of it,
// device memory cannot be accessed when LLMPIPE_EMU_GUARD says so.
struct DeviceAccess {
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess &) = delete;
  DeviceAccess &operator=(const DeviceAccess &) = delete;
};

// Memory for the shared memory of blocks, never freed.
char *shared_chunk(size_t bytes);

} // namespace emu
#endif
