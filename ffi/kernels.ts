/** The ops of the native library, as an interface that a device without a library can fill too. @module */

/** An address in device memory. */
export type Pointer = Deno.PointerValue;

/**
 * Ops on device memory, one method per function of csrc/llmpipe.h, which says what each does with
 * shapes, types and aliasing. Sizes and strides count elements unless their name says bytes; `dtype`
 * is an `lp_dtype`. A seed is a bigint, as it may use all 64 bits.
 *
 * Every method throws a NativeError when an argument breaks its requirement or the device fails.
 */
export interface Kernels {
  /** dst = src, device to device; they must not overlap. */
  copy(dst: Pointer, src: Pointer, bytes: number): void;
  /** Copies rows of `rowBytes`, device to device; strides in bytes. */
  copyRows(
    dst: Pointer,
    src: Pointer,
    rows: number,
    rowBytes: number,
    dstStride: number,
    srcStride: number,
  ): void;
  /** x = 0, `bytes` of it. */
  zero(x: Pointer, bytes: number): void;
  /** x = value. */
  fill(x: Pointer, value: number, n: number, dtype: number): void;
  /** dst = src, rounded to nearest even. */
  cast(dst: Pointer, src: Pointer, n: number, dstDtype: number, srcDtype: number): void;
  /** y = a + b; y may be a or b. */
  add(a: Pointer, b: Pointer, y: Pointer, n: number, dtype: number): void;
  /** x *= s. */
  scale(x: Pointer, s: number, n: number, dtype: number): void;
  /** x[i] = mean + std * normal(seed, first + i). */
  randomNormal(
    x: Pointer,
    n: number,
    seed: bigint,
    first: bigint,
    mean: number,
    std: number,
    dtype: number,
  ): void;
  /** y = x / (1 - p) or 0, as (seed, i) says; y may be x. */
  dropout(x: Pointer, y: Pointer, n: number, p: number, seed: bigint, dtype: number): void;
  /** out = sum x^2 in f64, in device memory. */
  sumSquares(x: Pointer, out: Pointer, n: number, dtype: number): void;
  /** Codes q = x / scale and one scale per block, for later communication compression. */
  quantizeInt8(
    x: Pointer,
    q: Pointer,
    scale: Pointer,
    n: number,
    block: number,
    dtype: number,
  ): void;
  /** x = q * scale. */
  dequantizeInt8(
    q: Pointer,
    scale: Pointer,
    x: Pointer,
    n: number,
    block: number,
    dtype: number,
  ): void;
  /** C = alpha op(A) op(B) + beta C for each matrix of the batch. */
  gemm(
    A: Pointer,
    B: Pointer,
    C: Pointer,
    rows: number,
    cols: number,
    inner: number,
    lda: number,
    ldb: number,
    ldc: number,
    transA: number,
    transB: number,
    batch: number,
    batchA: number,
    batchB: number,
    batchC: number,
    alpha: number,
    beta: number,
    inDtype: number,
    outDtype: number,
  ): void;
  /** y = x w^T + b; b may be null. */
  linearForward(
    x: Pointer,
    w: Pointer,
    b: Pointer,
    y: Pointer,
    N: number,
    D: number,
    F: number,
    dtype: number,
  ): void;
  /** db[f] += sum_N dy[n, f]. */
  biasBackward(dy: Pointer, db: Pointer, N: number, F: number, dtype: number): void;
  /** RMSNorm of x + residual, which becomes `sum`, or of x; r is kept for the backward. */
  rmsNormForward(
    x: Pointer,
    residual: Pointer,
    w: Pointer,
    sum: Pointer,
    y: Pointer,
    r: Pointer,
    N: number,
    D: number,
    eps: number,
    dtype: number,
  ): void;
  /** Gradients of RMSNorm; dx = dxBefore + .., dw added to. */
  rmsNormBackward(
    dy: Pointer,
    x: Pointer,
    w: Pointer,
    r: Pointer,
    dxBefore: Pointer,
    dx: Pointer,
    dw: Pointer,
    N: number,
    D: number,
    dtype: number,
  ): void;
  /** LayerNorm of x + residual, which becomes `sum`, or of x; mean and r are kept for the backward. */
  layerNormForward(
    x: Pointer,
    residual: Pointer,
    w: Pointer,
    b: Pointer,
    sum: Pointer,
    y: Pointer,
    mean: Pointer,
    r: Pointer,
    N: number,
    D: number,
    eps: number,
    dtype: number,
  ): void;
  /** Gradients of LayerNorm; dx = dxBefore + .., dw and db added to. */
  layerNormBackward(
    dy: Pointer,
    x: Pointer,
    w: Pointer,
    mean: Pointer,
    r: Pointer,
    dxBefore: Pointer,
    dx: Pointer,
    dw: Pointer,
    db: Pointer,
    N: number,
    D: number,
    dtype: number,
  ): void;
  /** Rows of length 1; r is kept for the backward. */
  rowNormalizeForward(
    x: Pointer,
    y: Pointer,
    r: Pointer,
    N: number,
    D: number,
    eps: number,
    dtype: number,
  ): void;
  /** Gradient of rows of length 1, f32, added to. */
  rowNormalizeBackward(
    dy: Pointer,
    x: Pointer,
    r: Pointer,
    dx: Pointer,
    N: number,
    D: number,
    eps: number,
    dtype: number,
  ): void;
  /** Cosines and sines of the rotary angles. */
  ropeTable(
    invFreq: Pointer,
    cos: Pointer,
    sin: Pointer,
    positions: number,
    halfR: number,
    scale: number,
  ): void;
  /** Rotates heads in place; direction -1 is the inverse. */
  rope(
    x: Pointer,
    position: Pointer,
    cos: Pointer,
    sin: Pointer,
    N: number,
    heads: number,
    K: number,
    R: number,
    rowStride: number,
    positions: number,
    layout: number,
    direction: number,
    dtype: number,
  ): void;
  /** Attention over the keys begin..end-1 of each query. */
  attentionForward(
    q: Pointer,
    k: Pointer,
    v: Pointer,
    begin: Pointer,
    end: Pointer,
    slope: Pointer,
    o: Pointer,
    lse: Pointer,
    B: number,
    Tq: number,
    Tk: number,
    H: number,
    G: number,
    K: number,
    qStride: number,
    kvStride: number,
    kvBatch: number,
    oStride: number,
    scale: number,
    dropout: number,
    seed: bigint,
    algorithm: number,
    dtype: number,
  ): void;
  /** Gradients of attention; all overwritten. */
  attentionBackward(
    dO: Pointer,
    q: Pointer,
    k: Pointer,
    v: Pointer,
    o: Pointer,
    lse: Pointer,
    begin: Pointer,
    end: Pointer,
    slope: Pointer,
    dq: Pointer,
    dk: Pointer,
    dv: Pointer,
    B: number,
    Tq: number,
    Tk: number,
    H: number,
    G: number,
    K: number,
    qStride: number,
    kvStride: number,
    kvBatch: number,
    oStride: number,
    dqStride: number,
    dkvStride: number,
    dkvBatch: number,
    scale: number,
    dropout: number,
    seed: bigint,
    algorithm: number,
    dtype: number,
  ): void;
  /** y = silu(x[:, :F]) x[:, F:]. */
  swigluForward(x: Pointer, y: Pointer, N: number, F: number, dtype: number): void;
  /** Gradient of SwiGLU, overwritten. */
  swigluBackward(dy: Pointer, x: Pointer, dx: Pointer, N: number, F: number, dtype: number): void;
  /** y = gelu(x), tanh form. */
  geluForward(x: Pointer, y: Pointer, n: number, dtype: number): void;
  /** Gradient of gelu, overwritten; dx may be dy. */
  geluBackward(dy: Pointer, x: Pointer, dx: Pointer, n: number, dtype: number): void;
  /** y[n, :] = w[id[n], :]. */
  embeddingForward(
    id: Pointer,
    w: Pointer,
    y: Pointer,
    N: number,
    D: number,
    V: number,
    dtype: number,
  ): void;
  /** dw[id[n], :] += dy[n, :], padding excepted. */
  embeddingBackward(
    id: Pointer,
    dy: Pointer,
    dw: Pointer,
    N: number,
    D: number,
    V: number,
    paddingId: number,
    dtype: number,
  ): void;
  /** The experts of each token, their weights, and how the tokens spread over them. */
  moeRouteForward(
    x: Pointer,
    counted: Pointer,
    p: Pointer,
    expert: Pointer,
    weight: Pointer,
    statistics: Pointer,
    N: number,
    E: number,
    top: number,
    dtype: number,
  ): void;
  /** Gradient of the weights and of the load balance, overwritten. */
  moeRouteBackward(
    dweight: Pointer,
    p: Pointer,
    expert: Pointer,
    weight: Pointer,
    counted: Pointer,
    balance: Pointer,
    dx: Pointer,
    balanceScale: number,
    N: number,
    E: number,
    top: number,
    dtype: number,
  ): void;
  /** Rows of each expert, and the row of each pair of a token and an expert. */
  moeSort(expert: Pointer, offset: Pointer, slot: Pointer, N: number, E: number, top: number): void;
  /** y[slot[n, j], :] = x[n, :]. */
  moeGather(
    x: Pointer,
    slot: Pointer,
    y: Pointer,
    N: number,
    D: number,
    top: number,
    dtype: number,
  ): void;
  /** y[n, :] (+)= sum_j weight[n, j] x[slot[n, j], :]. */
  moeCombineForward(
    x: Pointer,
    slot: Pointer,
    weight: Pointer,
    y: Pointer,
    N: number,
    D: number,
    top: number,
    accumulate: number,
    dtype: number,
  ): void;
  /** Gradients of the weighted sum; all overwritten. */
  moeCombineBackward(
    dy: Pointer,
    x: Pointer,
    slot: Pointer,
    weight: Pointer,
    dx: Pointer,
    dweight: Pointer,
    N: number,
    D: number,
    top: number,
    dtype: number,
  ): void;
  /** C = A op(B[e]) for the rows of each expert e. */
  moeGemm(
    A: Pointer,
    B: Pointer,
    C: Pointer,
    offset: Pointer,
    R: number,
    cols: number,
    inner: number,
    E: number,
    transB: number,
    dtype: number,
  ): void;
  /** C[e] += A^T B over the rows of each expert e. */
  moeGemmWeight(
    A: Pointer,
    B: Pointer,
    C: Pointer,
    offset: Pointer,
    R: number,
    rows: number,
    cols: number,
    E: number,
    dtype: number,
  ): void;
  /** Loss of each row, and its gradient in place of the logits. */
  crossEntropy(
    x: Pointer,
    target: Pointer,
    loss: Pointer,
    z: Pointer,
    zScale: Pointer,
    top: Pointer,
    topScale: Pointer,
    dx: Pointer,
    N: number,
    V: number,
    ceScale: number,
    inDtype: number,
    outDtype: number,
  ): void;
  /** A token of each row of logits; u may be null when temperature is 0. */
  sample(
    x: Pointer,
    u: Pointer,
    token: Pointer,
    N: number,
    V: number,
    temperature: number,
    topK: number,
    topP: number,
  ): void;
  /** One AdamW step over a flat run of parameters. */
  adamw(
    grad: Pointer,
    p: Pointer,
    m: Pointer,
    v: Pointer,
    w: Pointer,
    n: number,
    gradScale: number,
    lr: number,
    beta1: number,
    beta2: number,
    eps: number,
    decay: number,
    correction1: number,
    correction2: number,
    wDtype: number,
  ): void;
  /** One Lion step over a flat run of parameters. */
  lion(
    grad: Pointer,
    p: Pointer,
    m: Pointer,
    w: Pointer,
    n: number,
    gradScale: number,
    lr: number,
    beta1: number,
    beta2: number,
    decay: number,
    zeroIsNegative: number,
    wDtype: number,
  ): void;
}

/** Ops that do nothing, for planning memory without any. */
export function dryKernels(): Kernels {
  const nothing = () => {};
  return new Proxy({} as Kernels, { get: () => nothing });
}
