#include "emu/library.h"

#include <vector>

#include "emu/control.h"

namespace emu {

namespace {
std::vector<Symbols *> &libraries() {
  static std::vector<Symbols *> libraries;
  return libraries;
}
std::string error;

// Whether LLMPIPE_EMU_MISSING names a function, or the file of a library ("nccl": libnccl.so.2).
bool is_missing(const std::string &name) {
  const std::string &missing = options().missing;
  for (size_t begin = 0; begin < missing.size();) {
    const size_t comma = std::min(missing.find(',', begin), missing.size());
    const std::string word = missing.substr(begin, comma - begin);
    if (name == word || name.rfind("lib" + word + ".so", 0) == 0) return true;
    begin = comma + 1;
  }
  return false;
}
} // namespace

Symbols::Symbols(const char *name, std::map<std::string, void *> functions)
    : name(name), functions(std::move(functions)) {
  libraries().push_back(this);
}

void *open_library(const char *name) {
  for (Symbols *library : libraries())
    if (library->name == name && !is_missing(name)) return library;
  error = std::string(name) + ": cannot open shared object file: No such file or directory";
  return nullptr;
}

void *find_symbol(void *library, const char *name) {
  const auto &functions = static_cast<Symbols *>(library)->functions;
  const auto found = functions.find(name);
  if (found != functions.end() && !is_missing(name)) return found->second;
  error = std::string("undefined symbol: ") + name;
  return nullptr;
}

const char *library_error() { return error.c_str(); }

const char *library_path(void *library) { return static_cast<Symbols *>(library)->name.c_str(); }

} // namespace emu
