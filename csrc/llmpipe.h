/* llmpipe.h: the one ABI between TypeScript and the native backends.
 *
 * libllmpipe_cpu.so and libllmpipe_cuda.so both implement all of it; ffi/symbols.ts mirrors it in
 * order, and tests/abi_test.ts compares the two. Read this file to learn what a backend does.
 *
 * Names of sizes, here, in the kernels and in TypeScript:
 *   B sequences (rows of a micro-batch)   S positions of a sequence   N = B*S token rows
 *   D model width    H query heads   G key/value heads   K head width   F MLP width
 *   V vocabulary     L layers        P pipeline stages   M micro-batches     E experts
 *
 * Rules that hold everywhere:
 *   - Every function returns lp_status and never prints, exits or throws. On failure,
 *     lp_last_error() tells what was being done, what was required and what was found.
 *   - Matrices are row-major and dense unless a row stride is an argument; strides count elements.
 *     Dimensions are int32_t, element and byte counts size_t. A dimension of 0 is a successful no-op.
 *   - "dtype" is the storage type of activations and weights (f32, bf16 or f16). Sums, statistics
 *     and master copies are f32; global norms are f64.
 *   - Work is enqueued on the context's current stream in call order and may still be running when
 *     the call returns; host memory passed to lp_upload/lp_download may be used until the stream is
 *     synchronized. The CPU backend finishes before it returns.
 *   - Same inputs, same bits: no result depends on thread timing, nor on the number of threads (of
 *     which the CPU backend vouches for up to 16).
 *   - Pointers to tensors are device pointers of the context (plain memory on CPU). No alignment is
 *     required beyond that of the element type; 64 bytes is fastest.
 *   - Every output argument says "overwritten" or "added to". Inputs may not overlap outputs unless
 *     it is said.
 *   - A context and the communicators made from it are used from one thread at a time.
 */
#ifndef LLMPIPE_H
#define LLMPIPE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LP_API __attribute__((visibility("default")))
#define LP_ABI_VERSION 4
#define LP_MEASURE (-1) /* in place of a device: see lp_ctx_create */

typedef int32_t lp_status;
enum {
  LP_OK = 0,
  LP_EINVAL = 1,       /* an argument breaks its documented requirement; nothing was done */
  LP_ENOMEM = 2,       /* memory could not be had; the message says how much was asked for */
  LP_EDEVICE = 3,      /* the device or a library it needs failed */
  LP_EUNSUPPORTED = 4, /* this backend or this device cannot do it; the message says what can */
  LP_ETIMEOUT = 5,     /* a peer did not answer in time; the communicator is unusable afterwards */
  LP_ELOST = 6,        /* a peer is gone; the communicator is unusable afterwards */
};

typedef int32_t lp_dtype;
enum { LP_F32 = 0, LP_BF16 = 1, LP_F16 = 2, LP_I32 = 3, LP_F64 = 4, LP_U8 = 5 };

typedef struct lp_ctx lp_ctx;         /* one device, its streams and its workspace; one per rank */
typedef struct lp_event lp_event;     /* a point in a stream */
typedef struct lp_comm lp_comm;       /* a group of ranks that can talk to each other */
typedef struct lp_request lp_request; /* a send or receive under way */

/* ---- Library and context ------------------------------------------------------------------- */

/* LP_ABI_VERSION the library was built with. */
LP_API int32_t lp_abi_version(void);

/* Writes one JSON object that describes backend, libraries and devices, for `llmpipe doctor`:
 *   {"backend": "cpu", "isa": "...", "libraries": {"onednn": "3.7.2", ...}, "devices": [
 *    {"name": "...", "memory_bytes": 0, "cores": 2, "dtypes": ["f32", "bf16", "f16"],
 *     "products": ["exact", "tf32"]}]}       of f32 matrices: see lp_products_select
 *   text   char[capacity]   overwritten, zero-terminated, cut if it does not fit
 * Works without a device: then "devices" is empty and "reason" says why. */
LP_API lp_status lp_describe(char *text, size_t capacity);

/* Opens device `device` (0 on CPU). threads: worker threads of CPU kernels, 0 = all cores this
 * process may use; ignored by CUDA.
 * LP_MEASURE instead of a device: the context plans memory. lp_alloc gives addresses with nothing
 * behind them, ops touch none and only count the workspace they would borrow on this machine's
 * (first) device, and lp_memory tells what a context holds after the same calls. Ops whose sizes
 * follow from data count the most that they may take. No streams, no communicators.
 *   out   overwritten with the context; lp_ctx_destroy() frees it and all it still owns
 * LP_EINVAL: device out of range, threads < 0.  LP_EDEVICE / LP_EUNSUPPORTED: no usable device. */
LP_API lp_status lp_ctx_create(int32_t device, int32_t threads, lp_ctx **out);
LP_API lp_status lp_ctx_destroy(lp_ctx *ctx);

/* Text of the last failure of any call on ctx (kept per context, not per thread: calls may run on
 * threads other than the reader's). ctx null: of lp_describe and lp_ctx_create.
 *   text   char[capacity]   overwritten, zero-terminated, cut if it does not fit */
LP_API lp_status lp_last_error(lp_ctx *ctx, char *text, size_t capacity);

/* Streams: 0 compute, 1 communication, 2 copies. Later calls on ctx are enqueued on `stream`. */
LP_API lp_status lp_stream_select(lp_ctx *ctx, int32_t stream);
/* Returns once everything enqueued on every stream of ctx is done. */
LP_API lp_status lp_synchronize(lp_ctx *ctx);

/* How lp_gemm and lp_linear_forward multiply f32 by f32 from now on. A setting of the context and no
 * argument: a run has one arithmetic, which no op has to pass on. Other ops stay exact.
 *   0 exact   operands as they are (every context begins so)
 *   1 tf32    operands rounded to 10 bits of mantissa (2^-11 relative), for tensor cores; sums in f32
 * Products that the device's library has no tensor cores for stay exact.
 * LP_EINVAL: another number.  LP_EUNSUPPORTED: tf32 on CPU, or before compute capability 8.0. */
LP_API lp_status lp_products_select(lp_ctx *ctx, int32_t arithmetic);

/* Events order streams: record marks the current stream, wait makes the current stream wait for
 * the mark, seconds tells the time between two recorded events (waits for both). */
LP_API lp_status lp_event_create(lp_ctx *ctx, lp_event **out);
LP_API lp_status lp_event_destroy(lp_ctx *ctx, lp_event *event);
LP_API lp_status lp_event_record(lp_ctx *ctx, lp_event *event);
LP_API lp_status lp_event_wait(lp_ctx *ctx, lp_event *event);
LP_API lp_status lp_event_seconds(lp_ctx *ctx, lp_event *begin, lp_event *end, double *seconds);

/* ---- Memory -------------------------------------------------------------------------------- */

/* Device memory, 64-byte aligned, on huge pages where the system allows, contents undefined (on
 * CPU: zero, first touched by the worker threads).
 * LP_ENOMEM: the message gives bytes asked for and bytes available. */
LP_API lp_status lp_alloc(lp_ctx *ctx, size_t bytes, void **out);
LP_API lp_status lp_free(lp_ctx *ctx, void *ptr);
/* Bytes now held and the most there ever were: by lp_alloc, and as workspace that ops borrow, which
 * grows with their sizes and is kept; for the memory report. */
LP_API lp_status lp_memory(lp_ctx *ctx, uint64_t *now_bytes, uint64_t *peak_bytes);

/* Host memory to device, device to host, device to device (must not overlap), all of `bytes`. */
LP_API lp_status lp_upload(lp_ctx *ctx, void *dst, const void *host_src, size_t bytes);
LP_API lp_status lp_download(lp_ctx *ctx, void *host_dst, const void *src, size_t bytes);
LP_API lp_status lp_copy(lp_ctx *ctx, void *dst, const void *src, size_t bytes);
/* Copies `rows` runs of row_bytes each, device to device; strides in bytes between their beginnings. */
LP_API lp_status lp_copy_rows(lp_ctx *ctx, void *dst, const void *src, int32_t rows,
                              size_t row_bytes, size_t dst_stride, size_t src_stride);
/* x[0..bytes) = 0 */
LP_API lp_status lp_zero(lp_ctx *ctx, void *x, size_t bytes);

/* ---- Elementwise --------------------------------------------------------------------------- */

/* x[i] = value.  x [n] dtype overwritten. */
LP_API lp_status lp_fill(lp_ctx *ctx, void *x, float value, size_t n, lp_dtype dtype);
/* dst[i] = src[i], rounded to nearest even.  src [n] src_dtype read; dst [n] dst_dtype overwritten;
 * dst may be src when the types have one size. Any of f32, bf16, f16. */
LP_API lp_status lp_cast(lp_ctx *ctx, void *dst, const void *src, size_t n, lp_dtype dst_dtype,
                         lp_dtype src_dtype);
/* y[i] = a[i] + b[i].  [n] dtype; y overwritten, may be a or b. */
LP_API lp_status lp_add(lp_ctx *ctx, const void *a, const void *b, void *y, size_t n,
                        lp_dtype dtype);
/* x[i] *= s.  x [n] dtype. */
LP_API lp_status lp_scale(lp_ctx *ctx, void *x, float s, size_t n, lp_dtype dtype);
/* Normal numbers: element i is a pure function of (seed, first + i), so any split of a tensor over
 * ranks fills it with the same values. Philox4x32-10 counters, Box-Muller.
 *   x [n] dtype overwritten with mean + std * normal(seed, first + i) */
LP_API lp_status lp_random_normal(lp_ctx *ctx, void *x, size_t n, uint64_t seed, uint64_t first,
                                  float mean, float std, lp_dtype dtype);
/* Dropout (JMLR 15 (2014), 1929).  y[i] = x[i] / (1 - p) where u_i >= p, else 0
 *   u_i = 2^-16 (bits i % 8 * 16 .. + 15 of Philox4x32-7, key seed, counter i / 8)
 *   p is rounded to a multiple of 2^-16, at most 1 - 2^-16
 *   x [n] dtype read; y [n] dtype overwritten, may be x
 * The backward is the same call on dy. p = 0 copies.  LP_EINVAL: p outside [0, 1). */
LP_API lp_status lp_dropout(lp_ctx *ctx, const void *x, void *y, size_t n, float p, uint64_t seed,
                            lp_dtype dtype);
/* *out = sum of x[i]^2 in f64, in an order fixed by n alone; inf or nan when an element is.
 *   x [n] dtype read; out [1] f64, device memory, overwritten */
LP_API lp_status lp_sum_squares(lp_ctx *ctx, const void *x, double *out, size_t n, lp_dtype dtype);

/* Blocks of int8, symmetric, as messages of collectives are compressed (ZeRO++, arXiv:2306.10209).
 *   scale[i] = max |x| / 127 over block i       q[j] = x[j] / scale[j / block], to nearest even
 *   x      [n] dtype                     read
 *   q      [n]                           overwritten, each in -127..127
 *   scale  [(n + block - 1) / block] f32 overwritten; the last block may be shorter
 * What comes back differs from x by at most scale / 2. A block that holds an infinity or a nan gets
 * scale nan and codes 0, so all of it comes back as nan: an overflow is not hidden. A block of zeros
 * (or of denormals that 127 parts of do not exist) gets scale 0 and codes 0.
 * LP_EINVAL: block < 1. A block that is a multiple of 8, 256 or more, is fastest. */
LP_API lp_status lp_quantize_int8(lp_ctx *ctx, const void *x, int8_t *q, float *scale, size_t n,
                                  int32_t block, lp_dtype dtype);
/* x[j] = q[j] * scale[j / block], rounded.   q, scale read;  x [n] dtype overwritten. */
LP_API lp_status lp_dequantize_int8(lp_ctx *ctx, const int8_t *q, const float *scale, void *x,
                                    size_t n, int32_t block, lp_dtype dtype);

/* ---- Matrix product ------------------------------------------------------------------------ */

/* C[i] = alpha * op(A[i]) op(B[i]) + beta * C[i],  i in 0..batch-1, sums in f32.
 *   A   op(A) is [rows, inner]; stored [rows, inner], or [inner, rows] if trans_a; row stride lda
 *   B   op(B) is [inner, cols]; stored [inner, cols], or [cols, inner] if trans_b; row stride ldb
 *   C   [rows, cols], row stride ldc; overwritten when beta = 0 (never read), else beta*C + product
 *   batch_a, batch_b, batch_c   elements between successive matrices (0 shares A or B)
 *   in_dtype of A and B, out_dtype of C: equal, or f32 out of bf16 or f16 (weight gradients)
 * LP_EINVAL: a stride smaller than its row, an unsupported pair of types. */
LP_API lp_status lp_gemm(lp_ctx *ctx, const void *A, const void *B, void *C, int32_t rows,
                         int32_t cols, int32_t inner, int32_t lda, int32_t ldb, int32_t ldc,
                         int32_t trans_a, int32_t trans_b, int32_t batch, size_t batch_a,
                         size_t batch_b, size_t batch_c, float alpha, float beta,
                         lp_dtype in_dtype, lp_dtype out_dtype);

/* Linear layer.  y[n,f] = sum_D x[n,d] w[f,d] + b[f]       in f32, rounded once
 *   x [N, D], w [F, D] dtype read;  b [F] dtype read, null for 0;  y [N, F] dtype overwritten
 * The gradients of x and w are products of lp_gemm.  LP_EINVAL: D < 1. */
LP_API lp_status lp_linear_forward(lp_ctx *ctx, const void *x, const void *w, const void *b,
                                   void *y, int32_t N, int32_t D, int32_t F, lp_dtype dtype);
/* Gradient of b.  db[f] += sum_N dy[n,f].   dy [N, F] dtype read;  db [F] f32 added to. */
LP_API lp_status lp_bias_backward(lp_ctx *ctx, const void *dy, float *db, int32_t N, int32_t F,
                                  lp_dtype dtype);

/* ---- Norms --------------------------------------------------------------------------------- */

/* RMSNorm forward, of x or of the residual stream that x is added to.  s = x + residual, or x:
 *   y[n,d] = s[n,d] * r[n] * w[d]        r[n] = 1 / sqrt(mean_D(s[n,:]^2) + eps)
 *   x         [N, D] dtype   read
 *   residual  [N, D] dtype   read; null for 0
 *   w         [D]    dtype   read
 *   sum       [N, D] dtype   overwritten with s, rounded as by lp_add before it is normalised; may
 *                            be x or residual. Not used, and may be null, where residual is null
 *   y         [N, D] dtype   overwritten; may be x or residual
 *   r         [N]    f32     overwritten; keep it for the backward
 * The normalised s * r is rounded to dtype before it is multiplied by w, as transformers does.
 * LP_EINVAL: eps <= 0.  Source: arXiv:1910.07467 eq. 4. */
LP_API lp_status lp_rms_norm_forward(lp_ctx *ctx, const void *x, const void *residual,
                                     const void *w, void *sum, void *y, float *r, int32_t N,
                                     int32_t D, float eps, lp_dtype dtype);
/* RMSNorm backward.  x is what was normalised (s of the forward), g = dy * w:
 *   dx = dx_before + r * (g - x * r^2 * mean_D(g * x))       dw += sum_N(dy * x * r)
 *   dy [N, D], x [N, D], w [D] dtype read;  r [N] f32 from the forward, read
 *   dx_before [N, D] dtype   read: gradient of x by its other uses, such as the residual stream;
 *                            null for 0
 *   dx [N, D] dtype   overwritten; may be dy or dx_before
 *   dw [D]    f32     added to
 * Where x = a + b, dx is the gradient of both a and b. */
LP_API lp_status lp_rms_norm_backward(lp_ctx *ctx, const void *dy, const void *x, const void *w,
                                      const float *r, const void *dx_before, void *dx, float *dw,
                                      int32_t N, int32_t D, lp_dtype dtype);

/* LayerNorm forward, of s = x + residual or x.  y = (s - mean) * r * w + b,  r = 1 / sqrt(var_D(s) + eps)
 *   x, residual, sum, y   as in lp_rms_norm_forward;  w, b [D] dtype read
 *   mean [N], r [N] f32 overwritten; keep both for the backward.   Source: arXiv:1607.06450. */
LP_API lp_status lp_layer_norm_forward(lp_ctx *ctx, const void *x, const void *residual,
                                       const void *w, const void *b, void *sum, void *y,
                                       float *mean, float *r, int32_t N, int32_t D, float eps,
                                       lp_dtype dtype);
/* LayerNorm backward.  x is what was normalised, g = dy * w, xh = (x - mean) * r:
 *   dx = dx_before + r * (g - mean_D(g) - xh * mean_D(g * xh))
 *   dw += sum_N(dy * xh)   db += sum_N(dy)
 *   dy, x, w, dx_before, dx   as in lp_rms_norm_backward;  dw, db [D] f32 added to */
LP_API lp_status lp_layer_norm_backward(lp_ctx *ctx, const void *dy, const void *x, const void *w,
                                        const float *mean, const float *r, const void *dx_before,
                                        void *dx, float *dw, float *db, int32_t N, int32_t D,
                                        lp_dtype dtype);

/* Rows of length 1 forward.  y[n,d] = x[n,d] * r[n],  r[n] = 1 / max(sqrt(sum_D(x[n,:]^2)), eps)
 *   x [N, D] dtype read;  y [N, D] dtype overwritten, may be x
 *   r [N] f32 overwritten; keep it for the backward
 * For matrices whose rows are normalised before each use (Baichuan 2's head).  LP_EINVAL: eps <= 0. */
LP_API lp_status lp_row_normalize_forward(lp_ctx *ctx, const void *x, void *y, float *r, int32_t N,
                                          int32_t D, float eps, lp_dtype dtype);
/* Rows of length 1 backward.
 *   dx += r * (dy - x * r^2 * sum_D(dy * x))      where 1 / r > eps; elsewhere r is a constant
 *   dy [N, D] f32, x [N, D] dtype, r [N] f32 from the forward, read;  dx [N, D] f32 added to */
LP_API lp_status lp_row_normalize_backward(lp_ctx *ctx, const float *dy, const void *x,
                                           const float *r, float *dx, int32_t N, int32_t D,
                                           float eps, lp_dtype dtype);

/* ---- Positions ----------------------------------------------------------------------------- */

/* Table of rotary angles: cos[p, i] = scale * cos(p * inv_freq[i]), sin likewise, the product in
 * f32 as transformers computes it.
 *   inv_freq [R/2] f32 read;  cos, sin [positions, R/2] f32 overwritten */
LP_API lp_status lp_rope_table(lp_ctx *ctx, const float *inv_freq, float *cos, float *sin,
                               int32_t positions, int32_t half_R, float scale);
/* Rotates the first R elements of each head in place, for `heads` consecutive heads of each row:
 *   a' = a cos - b sin      b' = b cos + a sin      (direction -1: the inverse, for the backward)
 *   layout 0: (a, b) = (x[i], x[i + R/2])     layout 1: (a, b) = (x[2i], x[2i+1])
 *   x         [N, heads, K] dtype in place; row stride row_stride
 *   position  [N] i32 read, each in [0, positions)
 *   cos, sin  [positions, R/2] f32 read
 * LP_EINVAL: R odd or > K, a position outside the table.  Source: arXiv:2104.09864. */
LP_API lp_status lp_rope(lp_ctx *ctx, void *x, const int32_t *position, const float *cos,
                         const float *sin, int32_t N, int32_t heads, int32_t K, int32_t R,
                         int32_t row_stride, int32_t positions, int32_t layout, int32_t direction,
                         lp_dtype dtype);

/* ---- Attention ----------------------------------------------------------------------------- */

/* How attention is computed; both agree up to rounding, and hold no [S, S] matrix. */
enum {
  LP_ATTENTION_FLASH = 0,     /* in tiles, with online softmax */
  LP_ATTENTION_REFERENCE = 1, /* one query at a time, straight from the formula: slow */
};

/* Softmax attention; no [S, S] matrix is ever held. Query t of sequence b sees
 * the keys j with begin[b,t] <= j < end[b,t]:
 *   s[j] = scale * <q[t], k[j]> + slope[h] * (j - t)      p = softmax_j(s)      o[t] = sum_j p[j] v[j]
 * begin and end grow (weakly) along a sequence, which is enough for causal, padded, packed, sliding
 * windows and prefixes; a query that sees no key gets o = 0, lse = -inf.
 *   q      [B, Tq, H, K] dtype read, row stride q_stride      (h-th head at + h*K)
 *   k, v   [B, Tk, G, K] dtype read, row stride kv_stride, sequence stride kv_batch
 *   begin, end  [B, Tq] i32 read, in [0, Tk]
 *   slope  [H] f32 or null (ALiBi, arXiv:2108.12409)
 *   o      [B, Tq, H, K] dtype overwritten, row stride o_stride
 *   lse    [B, H, Tq] f32 overwritten: log-sum-exp of s; null if no backward follows
 *   dropout, seed   p[j] of head h is divided by 1 - dropout where u >= dropout, else 0 (after the
 *          softmax: lse is of all s); u as in lp_dropout, the bits of index t / 8 % 4 * 2 + j / 8 % 2
 *          for counter {j & ~8, t & ~24, b*H + h, 0}
 *   algorithm   LP_ATTENTION_FLASH or LP_ATTENTION_REFERENCE
 * Head h reads key/value head h / (H/G). Any K <= 256.
 * LP_EINVAL: H not a multiple of G, begin/end out of range or shrinking, dropout outside [0, 1).
 * Source: arXiv:2205.14135. */
LP_API lp_status lp_attention_forward(lp_ctx *ctx, const void *q, const void *k, const void *v,
                                      const int32_t *begin, const int32_t *end, const float *slope,
                                      void *o, float *lse, int32_t B, int32_t Tq, int32_t Tk,
                                      int32_t H, int32_t G, int32_t K, int32_t q_stride,
                                      int32_t kv_stride, size_t kv_batch, int32_t o_stride,
                                      float scale, float dropout, uint64_t seed,
                                      int32_t algorithm, lp_dtype dtype);
/* Attention backward; arguments of the forward, plus
 *   do         [B, Tq, H, K] dtype read, row stride o_stride
 *   lse        [B, H, Tq] f32 read
 *   dq         [B, Tq, H, K] dtype overwritten, row stride dq_stride
 *   dk, dv     [B, Tk, G, K] dtype overwritten, row stride dkv_stride, sequence stride dkv_batch */
LP_API lp_status lp_attention_backward(
    lp_ctx *ctx, const void *d_o, const void *q, const void *k, const void *v, const void *o,
    const float *lse, const int32_t *begin, const int32_t *end, const float *slope, void *dq,
    void *dk, void *dv, int32_t B, int32_t Tq, int32_t Tk, int32_t H, int32_t G, int32_t K,
    int32_t q_stride, int32_t kv_stride, size_t kv_batch, int32_t o_stride, int32_t dq_stride,
    int32_t dkv_stride, size_t dkv_batch, float scale, float dropout, uint64_t seed,
    int32_t algorithm, lp_dtype dtype);

/* ---- MLP ----------------------------------------------------------------------------------- */

/* SwiGLU.  y[n,f] = silu(x[n,f]) * x[n,F+f]      x [N, 2F] read; y [N, F] overwritten; dtype.
 * Source: arXiv:2002.05202. */
LP_API lp_status lp_swiglu_forward(lp_ctx *ctx, const void *x, void *y, int32_t N, int32_t F,
                                   lp_dtype dtype);
/* dy [N, F], x [N, 2F] dtype read; dx [N, 2F] dtype overwritten. */
LP_API lp_status lp_swiglu_backward(lp_ctx *ctx, const void *dy, const void *x, void *dx, int32_t N,
                                    int32_t F, lp_dtype dtype);
/* GELU, tanh form.  y = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))    x read, y overwritten. */
LP_API lp_status lp_gelu_forward(lp_ctx *ctx, const void *x, void *y, size_t n, lp_dtype dtype);
/* dx = dy * gelu'(x).  dy, x [n] dtype read; dx [n] dtype overwritten, may be dy. */
LP_API lp_status lp_gelu_backward(lp_ctx *ctx, const void *dy, const void *x, void *dx, size_t n,
                                  lp_dtype dtype);

/* ---- Embedding ----------------------------------------------------------------------------- */

/* y[n,:] = w[id[n],:].   id [N] i32 read; w [V, D] dtype read; y [N, D] dtype overwritten.
 * LP_EINVAL: an id outside [0, V), named in the message. */
LP_API lp_status lp_embedding_forward(lp_ctx *ctx, const int32_t *id, const void *w, void *y,
                                      int32_t N, int32_t D, int32_t V, lp_dtype dtype);
/* dw[id[n],:] += dy[n,:], rows with id == padding_id excepted (-1: none), in the order of n.
 *   dy [N, D] dtype read; dw [V, D] f32 added to */
LP_API lp_status lp_embedding_backward(lp_ctx *ctx, const int32_t *id, const void *dy, float *dw,
                                       int32_t N, int32_t D, int32_t V, int32_t padding_id,
                                       lp_dtype dtype);

/* ---- Mixture of experts -------------------------------------------------------------------- */

/* Each of N tokens goes to `top` of E experts. The R = N*top pairs of a token and an expert are rows,
 * sorted by expert: R is known beforehand, and how many rows an expert has stays on the device, so
 * that no call waits for it. Experts may be without rows. 1 <= top <= E <= 1024.
 *   offset [E+1]    i32   the rows of expert e are offset[e] .. offset[e+1] - 1;  offset[E] = R
 *   slot   [N, top] i32   the row of the token's j-th expert
 * Source: arXiv:2211.15841 (MegaBlocks), arXiv:2401.04088 (Mixtral). */

/* Chooses the experts of each token.
 *   p[n,:]      = softmax_E(x[n,:])                in f32
 *   expert[n,:] = those with the largest p[n,:], largest first; of equal ones the lowest first
 *   weight[n,j] = p[n,expert[n,j]] / sum_j p[n,expert[n,j]]
 *   statistics[0,e] = pairs of expert e,  statistics[1,e] = sum_n p[n,e],  where counted[n] != 0
 *   x [N, E] dtype read;  counted [N] i32 read, null for all rows
 *   p [N, E] f32, expert [N, top] i32, weight [N, top] f32 overwritten
 *   statistics [2, E] f32 overwritten; may be null
 * Whatever x holds, the experts of a token are `top` different ones. */
LP_API lp_status lp_moe_route_forward(lp_ctx *ctx, const void *x, const int32_t *counted, float *p,
                                      int32_t *expert, float *weight, float *statistics, int32_t N,
                                      int32_t E, int32_t top, lp_dtype dtype);
/* Gradient of the weights, and of  balance_scale * sum_e balance[e] statistics[1,e].
 *   g = sum_j dweight[n,j] weight[n,j]       a[e] = balance_scale * balance[e], 0 if not counted[n]
 *   dx[n,e] = p[n,e] (a[e] - sum_e p[n,e] a[e]) + [e = expert[n,j]] weight[n,j] (dweight[n,j] - g)
 *   dweight [N, top] f32, p, expert, weight, counted as in the forward, read
 *   balance [E] f32 read, or null for 0
 *   dx [N, E] dtype overwritten */
LP_API lp_status lp_moe_route_backward(lp_ctx *ctx, const float *dweight, const float *p,
                                       const int32_t *expert, const float *weight,
                                       const int32_t *counted, const float *balance, void *dx,
                                       float balance_scale, int32_t N, int32_t E, int32_t top,
                                       lp_dtype dtype);
/* Sorts the pairs by expert; those of one expert stay in the order of n.
 *   expert [N, top] i32 read;  offset [E+1], slot [N, top] i32 overwritten
 * LP_EINVAL: an expert outside [0, E) (CUDA: undefined). */
LP_API lp_status lp_moe_sort(lp_ctx *ctx, const int32_t *expert, int32_t *offset, int32_t *slot,
                             int32_t N, int32_t E, int32_t top);
/* y[slot[n,j],:] = x[n,:].   x [N, D] dtype, slot read;  y [R, D] dtype overwritten. */
LP_API lp_status lp_moe_gather(lp_ctx *ctx, const void *x, const int32_t *slot, void *y, int32_t N,
                               int32_t D, int32_t top, lp_dtype dtype);
/* y[n,:] (+)= sum_j weight[n,j] x[slot[n,j],:]      in f32, in the order of j, rounded once
 *   x [R, D] dtype, slot, weight [N, top] f32 read; weight null for 1: the backward of the gather
 *   y [N, D] dtype   added to if accumulate, else overwritten */
LP_API lp_status lp_moe_combine_forward(lp_ctx *ctx, const void *x, const int32_t *slot,
                                        const float *weight, void *y, int32_t N, int32_t D,
                                        int32_t top, int32_t accumulate, lp_dtype dtype);
/*   dx[slot[n,j],:] = weight[n,j] dy[n,:]           dweight[n,j] = <dy[n,:], x[slot[n,j],:]>
 *   dy [N, D], x [R, D] dtype, slot, weight read
 *   dx [R, D] dtype overwritten;  dweight [N, top] f32 overwritten */
LP_API lp_status lp_moe_combine_backward(lp_ctx *ctx, const void *dy, const void *x,
                                         const int32_t *slot, const float *weight, void *dx,
                                         float *dweight, int32_t N, int32_t D, int32_t top,
                                         lp_dtype dtype);
/* C[r,:] = A[r,:] op(B[e]) for each row r of each expert e: the forward and the input gradient.
 *   A [R, inner] dtype read;  offset read;  C [R, cols] dtype overwritten
 *   B [E, inner, cols] dtype read, or [E, cols, inner] if trans_b */
LP_API lp_status lp_moe_gemm(lp_ctx *ctx, const void *A, const void *B, void *C,
                             const int32_t *offset, int32_t R, int32_t cols, int32_t inner,
                             int32_t E, int32_t trans_b, lp_dtype dtype);
/* C[e] += A[r,:]^T B[r,:], summed over the rows r of expert e: the weight gradient.
 *   A [R, rows], B [R, cols] dtype, offset read;  C [E, rows, cols] f32 added to */
LP_API lp_status lp_moe_gemm_weight(lp_ctx *ctx, const void *A, const void *B, float *C,
                                    const int32_t *offset, int32_t R, int32_t rows, int32_t cols,
                                    int32_t E, lp_dtype dtype);

/* ---- Loss ---------------------------------------------------------------------------------- */

/* Cross-entropy of a chunk of rows, and its gradient in place of the logits.
 *   lse = log sum_V exp(x[n,:])        m = max_V x[n,:]
 *   loss[n] = lse - x[n, target[n]]    (0 where target < 0)
 *   z[n]    = (m - lse)^2              (the seed's aux_max_z_loss: log(p_max)^2)
 *   dx[n,v] = ce_scale * (p_v - [v = target])   where target >= 0
 *           + z_scale[n] * 2 (m - lse) ([v = argmax] - p_v)
 *           + top_scale[n] * 2 m [v = argmax]
 *   x       [N, V] dtype of the logits, in_dtype, read; row stride V
 *   target  [N] i32 read: a class, or negative for "no loss"
 *   loss, z [N] f32 overwritten; z may be null
 *   z_scale [N] f32 read, or null for 0
 *   top     [N] f32 overwritten with m (Baichuan 2's z-loss is the mean of m^2); may be null
 *   top_scale  [N] f32 read, or null for 0
 *   dx      [N, V] out_dtype overwritten; may be x when the types are equal; null: no gradient
 * LP_EINVAL: a target >= V, named in the message. */
LP_API lp_status lp_cross_entropy(lp_ctx *ctx, const void *x, const int32_t *target, float *loss,
                                  float *z, const float *z_scale, float *top,
                                  const float *top_scale, void *dx, int32_t N, int32_t V,
                                  float ce_scale, lp_dtype in_dtype, lp_dtype out_dtype);

/* ---- Sampling ------------------------------------------------------------------------------ */

/* Chooses a token from each row of logits.  temperature 0: the largest one. Else
 *   w[v] = exp((x[n,v] - max_V x[n,:]) / temperature), rounded down to a multiple of 2^-40
 *   kept: the top_k largest logits (0: all), and of these the fewest largest whose sum of w reaches
 *         top_p of theirs
 *   token[n] = the first v in the order of ids with sum(w of kept tokens up to v) > u[n] * sum(w of kept)
 * Of equal logits the lower id comes first; a nan counts as -inf.
 *   x      [N, V] f32   read
 *   u      [N] f64      read: uniform numbers in [0, 1); may be null when temperature is 0
 *   token  [N] i32      overwritten
 * LP_EINVAL: temperature < 0, top_k < 0, top_p outside (0, 1], V > 2^23. */
LP_API lp_status lp_sample(lp_ctx *ctx, const float *x, const double *u, int32_t *token, int32_t N,
                           int32_t V, float temperature, int32_t top_k, float top_p);

/* ---- Optimizers: one flat run of parameters, all moments and master weights f32 ------------- */

/* AdamW (arXiv:1711.05101), as torch.  g = grad_scale * grad
 *   m = beta1 m + (1-beta1) g      v = beta2 v + (1-beta2) g^2
 *   p = p (1 - lr decay) - lr (m / correction1) / (sqrt(v / correction2) + eps)
 *   grad [n] f32 read;  p, m, v [n] f32 updated;  w [n] w_dtype overwritten with p rounded, or null
 *   correction = 1 - beta^step, computed by the caller in f64 */
LP_API lp_status lp_adamw(lp_ctx *ctx, const float *grad, float *p, float *m, float *v, void *w,
                          size_t n, float grad_scale, float lr, float beta1, float beta2, float eps,
                          float decay, float correction1, float correction2, lp_dtype w_dtype);
/* Lion (arXiv:2302.06675).  g = grad_scale * grad,  u = beta1 m + (1-beta1) g
 *   p = p (1 - lr decay) - lr sign(u)      m = beta2 m + (1-beta2) g
 * zero_is_negative: sign(0) = -1, as DeepSpeed's FusedLion has it; else 0. */
LP_API lp_status lp_lion(lp_ctx *ctx, const float *grad, float *p, float *m, void *w, size_t n,
                         float grad_scale, float lr, float beta1, float beta2, float decay,
                         int32_t zero_is_negative, lp_dtype w_dtype);

/* ---- Communication ------------------------------------------------------------------------- */

/* A communicator is made in three steps, because ranks find each other through a rendezvous that
 * the library does not know: create, exchange addresses, connect.
 *   host        local address to listen on ("127.0.0.1"), zero-terminated; unused by NCCL
 *   timeout_ms  for the connection and every wait
 * A failed wait leaves the communicator unusable: destroy it. */
LP_API lp_status lp_comm_create(lp_ctx *ctx, int32_t rank, int32_t size, const char *host,
                                int32_t timeout_ms, lp_comm **out);
/* What the other ranks must know: bytes is overwritten with the length (at most capacity). */
LP_API lp_status lp_comm_address(lp_comm *comm, void *blob, size_t capacity, size_t *bytes);
/* blobs: the addresses of ranks 0..size-1, each preceded by its u64 length, one after another. */
LP_API lp_status lp_comm_connect(lp_comm *comm, const void *blobs, size_t bytes);
/* Orderly end: peers that wait for this rank see it leave, not die. comm is freed. */
LP_API lp_status lp_comm_destroy(lp_comm *comm);
/* Ends every wait under way on comm (from any thread) with LP_ELOST. */
LP_API lp_status lp_comm_abort(lp_comm *comm);

/* Starts a transfer of bytes to or from device memory, which must stay as it is until the wait.
 * A receive must ask for exactly what is sent. Transfers of one pair and tag arrive in order.
 *   tag   < 2^31; both sides give the same */
LP_API lp_status lp_isend(lp_comm *comm, const void *x, size_t bytes, int32_t peer, int32_t tag,
                          lp_request **out);
LP_API lp_status lp_irecv(lp_comm *comm, void *x, size_t bytes, int32_t peer, int32_t tag,
                          lp_request **out);
/* Waits for a request and frees it, whatever the result. */
LP_API lp_status lp_wait(lp_comm *comm, lp_request *request);
/* Transfers between begin and end are started together (NCCL groups); no order among them. */
LP_API lp_status lp_group_begin(lp_comm *comm);
LP_API lp_status lp_group_end(lp_comm *comm);

/* Reductions: op 0 sum, 1 max; f32, f64, bf16, f16 (summed in f32); the order of the sum depends on
 * rank numbers alone. All are collective: every rank calls with the same sizes. */
/* x [n] dtype: every rank gets the reduction of all. */
LP_API lp_status lp_all_reduce(lp_comm *comm, void *x, size_t n, int32_t op, lp_dtype dtype);
/* x [size * n] read (may be destroyed); y [n] overwritten with part `rank` of the reduction. */
LP_API lp_status lp_reduce_scatter(lp_comm *comm, void *x, void *y, size_t n, int32_t op,
                                   lp_dtype dtype);
/* x [bytes] read; y [size * bytes] overwritten in rank order; x may be y + rank * bytes. */
LP_API lp_status lp_all_gather(lp_comm *comm, const void *x, void *y, size_t bytes);
/* x [bytes]: read on root, overwritten elsewhere. */
LP_API lp_status lp_broadcast(lp_comm *comm, void *x, size_t bytes, int32_t root);
/* x [size * bytes] read, part i goes to rank i; y [size * bytes] overwritten, part i from rank i. */
LP_API lp_status lp_all_to_all(lp_comm *comm, const void *x, void *y, size_t bytes);
/* Returns after every rank has called it. */
LP_API lp_status lp_barrier(lp_comm *comm);

#ifdef __cplusplus
}
#endif
#endif
