// Transposition of a panel through 16-byte registers.
#ifndef LLMPIPE_CPU_TRANSPOSE_H
#define LLMPIPE_CPU_TRANSPOSE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <algorithm>

namespace lp {

using Four = uint32_t __attribute__((vector_size(16)));
using Eight = uint16_t __attribute__((vector_size(16)));
using Two = uint64_t __attribute__((vector_size(16)));

// Interleaves the low or the high halves of two registers.
inline Eight low(Eight a, Eight b) {
  return __builtin_shuffle(a, b, Eight{0, 8, 1, 9, 2, 10, 3, 11});
}
inline Eight high(Eight a, Eight b) {
  return __builtin_shuffle(a, b, Eight{4, 12, 5, 13, 6, 14, 7, 15});
}
inline Four low(Four a, Four b) { return __builtin_shuffle(a, b, Four{0, 4, 1, 5}); }
inline Four high(Four a, Four b) { return __builtin_shuffle(a, b, Four{2, 6, 3, 7}); }
inline Two low(Two a, Two b) { return __builtin_shuffle(a, b, Two{0, 2}); }
inline Two high(Two a, Two b) { return __builtin_shuffle(a, b, Two{1, 3}); }

// dst[c][r] = src[r][c] for 4 by 4 elements of 32 bits, strides in elements.
inline void transpose_square(const uint32_t *src, size_t from, uint32_t *dst, size_t to) {
  Four row[4];
  for (int i = 0; i < 4; i++) memcpy(&row[i], src + i * from, sizeof(Four));
  const Two a = (Two)low(row[0], row[1]), b = (Two)low(row[2], row[3]);
  const Two c = (Two)high(row[0], row[1]), d = (Two)high(row[2], row[3]);
  const Two col[4] = {low(a, b), high(a, b), low(c, d), high(c, d)};
  for (int i = 0; i < 4; i++) memcpy(dst + i * to, &col[i], sizeof(Two));
}

inline void transpose_square(const float *src, size_t from, float *dst, size_t to) {
  transpose_square(reinterpret_cast<const uint32_t *>(src), from, // which only copies bytes
                   reinterpret_cast<uint32_t *>(dst), to);
}

// The same for 8 by 8 elements of 16 bits.
inline void transpose_square(const uint16_t *src, size_t from, uint16_t *dst, size_t to) {
  Eight row[8];
  for (int i = 0; i < 8; i++) memcpy(&row[i], src + i * from, sizeof(Eight));
  for (int half = 0; half < 2; half++) { // columns 0..3, then 4..7
    Four pair[4];
    for (int i = 0; i < 4; i++)
      pair[i] = half == 0 ? (Four)low(row[2 * i], row[2 * i + 1])
                          : (Four)high(row[2 * i], row[2 * i + 1]);
    const Two a = (Two)low(pair[0], pair[1]), b = (Two)low(pair[2], pair[3]);
    const Two c = (Two)high(pair[0], pair[1]), d = (Two)high(pair[2], pair[3]);
    const Two col[4] = {low(a, b), high(a, b), low(c, d), high(c, d)};
    for (int i = 0; i < 4; i++) memcpy(dst + (4 * half + i) * to, &col[i], sizeof(Two));
  }
}

// dst[c][r] = src[r][c] for rows by cols elements, strides in elements. One cache line of dst is
// filled at a time.
template <class T>
void transpose(const T *src, size_t from, T *dst, size_t to, int rows, int cols) {
  constexpr int kSide = 16 / sizeof(T), kLine = 64 / sizeof(T);
  for (int line = 0; line < rows; line += kLine) {
    const int end = std::min(rows, line + kLine);
    int c = 0;
    for (; c + kSide <= cols; c += kSide) {
      int r = line;
      for (; r + kSide <= end; r += kSide)
        transpose_square(src + r * from + c, from, dst + c * to + r, to);
      for (; r < end; r++)
        for (int i = 0; i < kSide; i++) dst[(c + i) * to + r] = src[r * from + c + i];
    }
    for (; c < cols; c++)
      for (int r = line; r < end; r++) dst[c * to + r] = src[r * from + c];
  }
}

} // namespace lp
#endif
