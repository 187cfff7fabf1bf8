// How much of the memory that a warp moves is used: device memory is read and written in sectors of
// 32 bytes, whatever a lane asks for. Counted in the race build, whose hooks see every access.
#ifndef LLMPIPE_EMU_SECTORS_H
#define LLMPIPE_EMU_SECTORS_H

#include <stddef.h>

namespace emu::sectors {

// An access of a thread to device memory, made by the instruction at `from`. The n-th time that the
// lanes of a warp execute an instruction is one request.
void access(const void *p, size_t bytes, bool write, unsigned thread, const void *from);
void end_block();

} // namespace emu::sectors
#endif
