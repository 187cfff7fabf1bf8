/** Part of the mirror of csrc/llmpipe.h: see symbols.ts. @module */

/** Functions of a device, its memory and single elements. */
export const DEVICE_SYMBOLS = {
  // Library and context
  lp_abi_version: { parameters: [], result: "i32" },
  lp_describe: {
    parameters: [
      "buffer", // char *text
      "usize", // size_t capacity
    ],
    result: "i32",
  },
  lp_ctx_create: {
    parameters: [
      "i32", // int32_t device
      "i32", // int32_t threads
      "buffer", // lp_ctx **out
    ],
    result: "i32",
  },
  lp_ctx_destroy: {
    parameters: [
      "pointer", // lp_ctx *ctx
    ],
    result: "i32",
  },
  lp_last_error: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "buffer", // char *text
      "usize", // size_t capacity
    ],
    result: "i32",
  },
  lp_stream_select: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "i32", // int32_t stream
    ],
    result: "i32",
  },
  lp_synchronize: {
    parameters: [
      "pointer", // lp_ctx *ctx
    ],
    result: "i32",
  },
  lp_products_select: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "i32", // int32_t arithmetic
    ],
    result: "i32",
  },
  lp_event_create: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "buffer", // lp_event **out
    ],
    result: "i32",
  },
  lp_event_destroy: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // lp_event *event
    ],
    result: "i32",
  },
  lp_event_record: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // lp_event *event
    ],
    result: "i32",
  },
  lp_event_wait: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // lp_event *event
    ],
    result: "i32",
  },
  lp_event_seconds: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // lp_event *begin
      "pointer", // lp_event *end
      "buffer", // double *seconds
    ],
    result: "i32",
  },

  // Memory
  lp_alloc: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "usize", // size_t bytes
      "buffer", // void **out
    ],
    result: "i32",
  },
  lp_free: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // void *ptr
    ],
    result: "i32",
  },
  lp_memory: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "buffer", // uint64_t *now_bytes
      "buffer", // uint64_t *peak_bytes
    ],
    result: "i32",
  },
  lp_upload: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // void *dst
      "buffer", // const void *host_src
      "usize", // size_t bytes
    ],
    result: "i32",
  },
  lp_download: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "buffer", // void *host_dst
      "pointer", // const void *src
      "usize", // size_t bytes
    ],
    result: "i32",
  },
  lp_copy: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // void *dst
      "pointer", // const void *src
      "usize", // size_t bytes
    ],
    result: "i32",
  },
  lp_copy_rows: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // void *dst
      "pointer", // const void *src
      "i32", // int32_t rows
      "usize", // size_t row_bytes
      "usize", // size_t dst_stride
      "usize", // size_t src_stride
    ],
    result: "i32",
  },
  lp_zero: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // void *x
      "usize", // size_t bytes
    ],
    result: "i32",
  },

  // Elementwise
  lp_fill: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // void *x
      "f32", // float value
      "usize", // size_t n
      "i32", // lp_dtype dtype
    ],
    result: "i32",
  },
  lp_cast: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // void *dst
      "pointer", // const void *src
      "usize", // size_t n
      "i32", // lp_dtype dst_dtype
      "i32", // lp_dtype src_dtype
    ],
    result: "i32",
  },
  lp_add: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // const void *a
      "pointer", // const void *b
      "pointer", // void *y
      "usize", // size_t n
      "i32", // lp_dtype dtype
    ],
    result: "i32",
  },
  lp_scale: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // void *x
      "f32", // float s
      "usize", // size_t n
      "i32", // lp_dtype dtype
    ],
    result: "i32",
  },
  lp_random_normal: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // void *x
      "usize", // size_t n
      "u64", // uint64_t seed
      "u64", // uint64_t first
      "f32", // float mean
      "f32", // float std
      "i32", // lp_dtype dtype
    ],
    result: "i32",
  },
  lp_dropout: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // const void *x
      "pointer", // void *y
      "usize", // size_t n
      "f32", // float p
      "u64", // uint64_t seed
      "i32", // lp_dtype dtype
    ],
    result: "i32",
  },
  lp_sum_squares: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // const void *x
      "pointer", // double *out
      "usize", // size_t n
      "i32", // lp_dtype dtype
    ],
    result: "i32",
  },
  lp_quantize_int8: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // const void *x
      "pointer", // int8_t *q
      "pointer", // float *scale
      "usize", // size_t n
      "i32", // int32_t block
      "i32", // lp_dtype dtype
    ],
    result: "i32",
  },
  lp_dequantize_int8: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // const int8_t *q
      "pointer", // const float *scale
      "pointer", // void *x
      "usize", // size_t n
      "i32", // int32_t block
      "i32", // lp_dtype dtype
    ],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;
