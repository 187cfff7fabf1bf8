// Element by element sums and maxima over the contributions of ranks.
#ifndef LLMPIPE_CPU_COMM_REDUCE_H
#define LLMPIPE_CPU_COMM_REDUCE_H

#include <stddef.h>
#include <stdint.h>

#include <vector>

#include "llmpipe.h"

namespace lp {

enum class Op : int32_t { kSum = 0, kMax = 1 };

// LP_EINVAL unless lp_all_reduce() and lp_reduce_scatter() take the pair.
void check_reducible(int32_t op, lp_dtype dtype);

// y[i] = ((part[0][i] op part[1][i]) op part[2][i]) ...   i in 0..n-1
//   parts  one [n] dtype per rank, read
//   y      [n] dtype, overwritten; may be one of the parts
// bf16 and f16 are reduced in f32 and rounded once. A nan in a maximum stays.
void reduce_in_order(const std::vector<const void *> &parts, void *y, size_t n, Op op,
                     lp_dtype dtype);

} // namespace lp
#endif
