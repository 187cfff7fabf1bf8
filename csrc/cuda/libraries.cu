#include "cuda/libraries.h"

#include "common/guard.h"
#include "cuda/gpu.h"

namespace lp {

namespace {
constexpr int kLeastNccl = 21800; // of ncclConfig_t as it is used here
constexpr const char *kToolkit = "/usr/local/cuda/lib64/";

// The first of `files` that opens. The loader searches LD_LIBRARY_PATH and the folders of the
// system; the DT_RUNPATH of this library, $ORIGIN, adds the folder that it lies in.
void *open_library(const char *title, std::initializer_list<const char *> files) {
  std::string names, reasons;
  for (const char *file : files) {
    names += (names.empty() ? "" : " or ") + std::string(file);
    for (const std::string &path : {std::string(file), kToolkit + std::string(file)}) {
      if (void *library = gpu_open_library(path.c_str())) return library;
      const char *reason = gpu_library_error();
      if (reason != nullptr && reasons.empty()) reasons = reason;
    }
  }
  fail(LP_EUNSUPPORTED,
       "%s cannot be opened: %s was looked for in LD_LIBRARY_PATH, in the library folders of the "
       "system, beside this library and in %s (%s)",
       title, names.c_str(), kToolkit, reasons.c_str());
}

// Fills one member of a table.
template <class F> void find(void *library, const char *title, const char *name, F &function) {
  function = reinterpret_cast<F>(gpu_find_symbol(library, name));
  if (function != nullptr) return;
  fail(LP_EUNSUPPORTED, "%s is too old: %s has no %s", title, gpu_library_path(library), name);
}

CublasLt open_cublaslt() {
  constexpr const char *kTitle = "cuBLASLt";
  // That of the series which this library is built with comes first: V100 is unknown to the newer one
  constexpr bool is_12 = CUDART_VERSION < 13000;
  void *from = open_library(kTitle, {is_12 ? "libcublasLt.so.12" : "libcublasLt.so.13",
                                     is_12 ? "libcublasLt.so.13" : "libcublasLt.so.12"});
  CublasLt lt;
  find(from, kTitle, "cublasLtGetVersion", lt.get_version);
  find(from, kTitle, "cublasLtGetStatusString", lt.get_status_string);
  find(from, kTitle, "cublasLtCreate", lt.create);
  find(from, kTitle, "cublasLtDestroy", lt.destroy);
  find(from, kTitle, "cublasLtMatmulDescCreate", lt.matmul_desc_create);
  find(from, kTitle, "cublasLtMatmulDescDestroy", lt.matmul_desc_destroy);
  find(from, kTitle, "cublasLtMatmulDescSetAttribute", lt.matmul_desc_set);
  find(from, kTitle, "cublasLtMatrixLayoutCreate", lt.layout_create);
  find(from, kTitle, "cublasLtMatrixLayoutDestroy", lt.layout_destroy);
  find(from, kTitle, "cublasLtMatrixLayoutSetAttribute", lt.layout_set);
  find(from, kTitle, "cublasLtMatmulPreferenceCreate", lt.preference_create);
  find(from, kTitle, "cublasLtMatmulPreferenceDestroy", lt.preference_destroy);
  find(from, kTitle, "cublasLtMatmulPreferenceSetAttribute", lt.preference_set);
  find(from, kTitle, "cublasLtMatmulAlgoGetHeuristic", lt.get_heuristic);
  find(from, kTitle, "cublasLtMatmul", lt.matmul);
  return lt;
}

std::string nccl_version(int code) {
  return std::to_string(code / 10000) + "." + std::to_string(code / 100 % 100) + "." +
         std::to_string(code % 100);
}

Nccl open_nccl() {
  constexpr const char *kTitle = "NCCL";
  void *from = open_library(kTitle, {"libnccl.so.2"});
  Nccl nccl;
  find(from, kTitle, "ncclGetVersion", nccl.get_version);
  int version = 0;
  nccl.get_version(&version);
  if (version < kLeastNccl)
    fail(LP_EUNSUPPORTED, "NCCL is too old: %s or newer is needed, %s is %s",
         nccl_version(kLeastNccl).c_str(), gpu_library_path(from), nccl_version(version).c_str());
  find(from, kTitle, "ncclGetErrorString", nccl.get_error_string);
  find(from, kTitle, "ncclGetLastError", nccl.get_last_error);
  find(from, kTitle, "ncclGetUniqueId", nccl.get_unique_id);
  find(from, kTitle, "ncclCommInitRankConfig", nccl.comm_init);
  find(from, kTitle, "ncclCommFinalize", nccl.comm_finalize);
  find(from, kTitle, "ncclCommDestroy", nccl.comm_destroy);
  find(from, kTitle, "ncclCommAbort", nccl.comm_abort);
  find(from, kTitle, "ncclCommGetAsyncError", nccl.comm_get_async_error);
  find(from, kTitle, "ncclGroupStart", nccl.group_start);
  find(from, kTitle, "ncclGroupEnd", nccl.group_end);
  find(from, kTitle, "ncclSend", nccl.send);
  find(from, kTitle, "ncclRecv", nccl.recv);
  find(from, kTitle, "ncclAllReduce", nccl.all_reduce);
  find(from, kTitle, "ncclReduceScatter", nccl.reduce_scatter);
  find(from, kTitle, "ncclAllGather", nccl.all_gather);
  find(from, kTitle, "ncclBroadcast", nccl.broadcast);
  return nccl;
}

template <class Version> LibraryState describe(const char *name, Version version) {
  try {
    return {name, version(), ""};
  } catch (const Failure &failure) {
    return {name, "", failure.text};
  }
}
} // namespace

const CublasLt &cublaslt() {
  static const CublasLt table = open_cublaslt();
  return table;
}

const Nccl &nccl() {
  static const Nccl table = open_nccl();
  return table;
}

std::vector<LibraryState> describe_libraries() {
  return {describe("cublaslt",
                   [] {
                     const size_t code = cublaslt().get_version();
                     return std::to_string(code / 10000) + "." + std::to_string(code / 100 % 100) +
                            "." + std::to_string(code % 100);
                   }),
          describe("nccl", [] {
            int code = 0;
            nccl().get_version(&code);
            return nccl_version(code);
          })};
}

} // namespace lp
