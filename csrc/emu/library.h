// The libraries that the emulation stands in for, as dlopen would find them.
#ifndef LLMPIPE_EMU_LIBRARY_H
#define LLMPIPE_EMU_LIBRARY_H

#include <map>
#include <string>

namespace emu {

// Null, with library_error(), for a name that is none of theirs or that LLMPIPE_EMU_MISSING names.
void *open_library(const char *name);
void *find_symbol(void *library, const char *name);
const char *library_error();
const char *library_path(void *library);

// Declares the functions of a library; one static object per library.
struct Symbols {
  Symbols(const char *name, std::map<std::string, void *> functions);
  std::string name; // "libnccl.so.2"
  std::map<std::string, void *> functions;
};

} // namespace emu
#endif
