// Attention of a few queries to many keys, as in generation: bound by reading the cache once.
//
// Keys are cut into parts of kPart; a thread takes the part of all heads, whose rows lie side by
// side in memory, and leaves a maximum, a sum and an output of each query row. These are merged in
// order. The parts depend on nothing but the number of keys: the same bits for any number of
// threads.
#include "cpu/attention.h"

namespace lp {

namespace {
constexpr int kPart = 128; // keys; a part of 8 heads of width 64 is 512 KiB of f32 keys and values

template <class T> class AttentionDecode {
public:
  AttentionDecode(const Attention &shape, const T *q, const T *k, const T *v, T *o, float *lse)
      : a(shape), q(q), k(k), v(v), o(o), lse(lse), width(packed_width<F32>(a.K)),
        rows(a.H * a.Tq), parts((a.Tk + kPart - 1) / kPart),
        part_size((size_t)rows * width + (size_t)round_up(2 * rows, kWidth)),
        scratch_size((size_t)rows * (width + kPart) + (size_t)kWidth * width) {}

  void run(lp_ctx *ctx) {
    float *partial = ctx->workspace<float>((size_t)a.B * parts * part_size +
                                           (size_t)ctx->threads * scratch_size);
    float *scratches = partial + (size_t)a.B * parts * part_size;
#pragma omp parallel num_threads(ctx->threads)
    {
      float *scratch = scratches + (size_t)omp_get_thread_num() * scratch_size;
#pragma omp for schedule(dynamic)
      for (int i = 0; i < a.B * parts; i++)
        run_part(scratch, partial + (size_t)i * part_size, i / parts, i % parts);
#pragma omp for schedule(static)
      for (int i = 0; i < a.B * rows; i++)
        merge(scratch, partial + (size_t)(i / rows) * parts * part_size, i / rows, i % rows);
    }
  }

private:
  // Row of queries: r = h * Tq + t.
  bool seen(int b, int part, int &from, int &to) const {
    from = std::max(a.first_key(b), part * kPart);
    to = std::min(a.last_key(b), (part + 1) * kPart);
    return from < to;
  }

  void run_part(float *scratch, float *partial, int b, int part) const {
    float *q_rows = scratch;                                 // [rows, width]
    float *s = q_rows + (size_t)rows * width;                // [rows, kPart]
    float *tile = s + (size_t)rows * kPart;                  // [kWidth, width]
    float *out = partial, *m = out + (size_t)rows * width, *l = m + rows;
    int from, to;
    if (!seen(b, part, from, to)) return;
    for (int t = 0; t < a.Tq; t++)
      for (int h = 0; h < a.H; h++)
        pack(Packed<float>{q_rows + (size_t)(h * a.Tq + t) * width, nullptr},
             q + a.row(b, t) * a.q_stride + (size_t)h * a.K, 0, Rows{0, 1}, 1, a.K, width);
    std::fill(s, s + (size_t)rows * kPart, -INFINITY);
    std::fill(out, out + (size_t)rows * width, 0.0f);
    const int rows_of_group = a.heads_of_group() * a.Tq, first = part * kPart;
    for_tiles(k, tile, b, from, to, [&](int j, int g) {
      for (int r = g * rows_of_group; r < (g + 1) * rows_of_group; r++)
        store(s + (size_t)r * kPart + (j - first), dots(q_rows + (size_t)r * width, tile));
    });
    for (int r = 0; r < rows; r++) softmax(s + (size_t)r * kPart, b, r, first, m + r, l + r);
    for_tiles(v, tile, b, from, to, [&](int j, int g) {
      for (int r = g * rows_of_group; r < (g + 1) * rows_of_group; r++)
        add_values(s + (size_t)r * kPart + (j - first), tile, out + (size_t)r * width);
    });
  }

  // Calls run(j, g) with tile [kWidth, width] = x[b, j .. j + kWidth - 1, g, :], which is 0 outside
  // from..to.
  template <class Run>
  void for_tiles(const T *x, float *tile, int b, int from, int to, Run run) const {
    for (int j = from / kWidth * kWidth; j < to; j += kWidth)
      for (int g = 0; g < a.G; g++) {
        const T *rows = x + (size_t)b * a.kv_batch + (size_t)j * a.kv_stride + (size_t)g * a.K;
        prefetch(rows + (size_t)kWidth * a.kv_stride, to - j - kWidth);
        pack(Packed<float>{tile, nullptr}, rows, a.kv_stride, Rows{from - j, to - j}, kWidth, a.K,
             width);
        run(j, g);
      }
  }

  // Asks for the same head of the next tile: a row of it is too short for the processor to foresee.
  void prefetch(const T *rows, int count) const {
    for (int i = 0; i < std::min(count, kWidth); i++)
      for (int c = 0; c < a.K; c += 64 / (int)sizeof(T))
        __builtin_prefetch(rows + (size_t)i * a.kv_stride + c, 0, 2);
  }

  // <q, row i of the tile> in lane i
  vf dots(const float *q_row, const float *tile) const {
    vf x[kWidth] = {};
    for (int c = 0; c < width; c += kWidth) {
      const vf queries = load(q_row + c);
#pragma GCC unroll 16
      for (int i = 0; i < kWidth; i++) x[i] += queries * load(tile + i * width + c);
    }
    transpose(x);
    for (int half = kWidth / 2; half; half /= 2)
      for (int i = 0; i < half; i++) x[i] += x[i + half];
    return x[0];
  }

  void add_values(const float *p, const float *tile, float *out) const {
    for (int c = 0; c < width; c += kWidth) {
      vf sum = load(out + c);
#pragma GCC unroll 16
      for (int i = 0; i < kWidth; i++) sum += p[i] * load(tile + i * width + c);
      store(out + c, sum);
    }
  }

  // s [kPart] = 2^(s - m), with m the largest score and l the sum.
  void softmax(float *s, int b, int r, int first, float *m, float *l) const {
    const int h = r / a.Tq, t = r % a.Tq;
    const int begin = a.begin[a.row(b, t)], end = a.end[a.row(b, t)];
    const float scale = a.scale * kLog2E, slope = a.slope ? a.slope[h] * kLog2E : 0;
    vi lane;
    for (int i = 0; i < kWidth; i++) lane[i] = i;
    vf largest = splat(-INFINITY);
    for (int i = 0; i < kPart; i += kWidth) {
      const vi j = lane + (first + i);
      const vf distance = __builtin_convertvector(j - t, vf);
      const vf x = attention_score(load(s + i), scale, slope, distance);
      const vf masked = (j >= begin) & (j < end) ? x : splat(-INFINITY);
      store(s + i, masked);
      largest = max(masked, largest);
    }
    *m = max(largest);
    const vf origin = splat(*m == -INFINITY ? 0 : *m);
    vf total = {};
    for (int i = 0; i < kPart; i += kWidth) {
      const vf p = exp2(load(s + i) - origin);
      store(s + i, p);
      total += p;
    }
    *l = sum(total);
  }

  void merge(float *scratch, const float *partials, int b, int r) const {
    const int h = r / a.Tq, t = r % a.Tq;
    const auto of_part = [&](int part) { return partials + (size_t)part * part_size; };
    const size_t m_at = (size_t)rows * width + (size_t)r, l_at = m_at + (size_t)rows;
    int from, to;
    float largest = -INFINITY;
    for (int part = 0; part < parts; part++)
      if (seen(b, part, from, to)) largest = std::max(largest, of_part(part)[m_at]);
    const vf origin = splat(largest == -INFINITY ? 0 : largest);
    float l = 0;
    std::fill(scratch, scratch + width, 0.0f);
    for (int part = 0; part < parts; part++) {
      if (!seen(b, part, from, to)) continue;
      const float *partial = of_part(part), *out = partial + (size_t)r * width;
      const vf weight = exp2(splat(partial[m_at]) - origin);
      l += weight[0] * partial[l_at];
      for (int c = 0; c < width; c += kWidth)
        store(scratch + c, load(scratch + c) + weight * load(out + c));
    }
    const float inverse = l == 0 ? 0 : 1 / l;
    for (int c = 0; c < width; c++) scratch[c] *= inverse;
    store_row(scratch, o + a.row(b, t) * a.o_stride + (size_t)h * a.K, (size_t)a.K);
    if (lse)
      lse[((size_t)b * a.H + h) * a.Tq + t] =
          l == 0 ? -INFINITY : attention_lse(largest, log(l));
  }

  const Attention a;
  const T *const q, *const k, *const v;
  T *const o;
  float *const lse;
  const int width, rows, parts;
  const size_t part_size, scratch_size;
};
} // namespace

void attention_decode(lp_ctx *ctx, const Attention &shape, const void *q, const void *k,
                      const void *v, void *o, float *lse, lp_dtype dtype) {
  with_type(dtype, [&](auto type) {
    using T = decltype(type);
    AttentionDecode<T>(shape, static_cast<const T *>(q), static_cast<const T *>(k),
                       static_cast<const T *>(v), static_cast<T *>(o), lse)
        .run(ctx);
  });
}

} // namespace lp
