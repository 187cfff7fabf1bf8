/** AdamW and Lion against float64. @module */
import { type Op, SIZES, testOp } from "./check_op.ts";

const [SCALE, LR, BETA1, BETA2, EPS, DECAY] = [0.5, 0.01, 0.9, 0.99, 1e-8, 0.1];
const [CORRECTION1, CORRECTION2] = [1 - BETA1 ** 3, 1 - BETA2 ** 3];

const STATE = {
  p: { shape: [0], type: "f32" },
  m: { shape: [0], type: "f32" },
  v: { shape: [0], type: "f32", value: (i: number) => (i % 13) / 10 },
  w: { shape: [0] },
} as const;

function adamw(n: number, hasWeights: boolean): Op {
  const { w, ...state } = STATE;
  const outputs = Object.fromEntries(
    Object.entries(hasWeights ? { ...state, w } : state).map(([k, v]) => [k, { ...v, shape: [n] }]),
  );
  return {
    title: `n = ${n}${hasWeights ? ", with weights" : ""}`,
    inputs: { grad: { shape: [n], type: "f32" } },
    outputs,
    reference: ({ grad, p, m, v }) => {
      grad.forEach((value, i) => {
        const g = SCALE * value;
        m[i] = BETA1 * m[i] + (1 - BETA1) * g;
        v[i] = BETA2 * v[i] + (1 - BETA2) * g * g;
        const step = m[i] / CORRECTION1 / (Math.sqrt(v[i] / CORRECTION2) + EPS);
        p[i] = p[i] * (1 - LR * DECAY) - LR * step;
      });
      return { p, m, v, w: p };
    },
    forward: (k, a, t) =>
      k.adamw(
        a.grad,
        a.p,
        a.m,
        a.v,
        a.w ?? null,
        n,
        SCALE,
        LR,
        BETA1,
        BETA2,
        EPS,
        DECAY,
        CORRECTION1,
        CORRECTION2,
        t,
      ),
  };
}

function lion(n: number, zeroIsNegative: 0 | 1): Op {
  return {
    title: `n = ${n}, zeroIsNegative ${zeroIsNegative}`,
    // Every third element has u = 0
    inputs: { grad: { shape: [n], type: "f32", value: (i) => i % 3 ? Math.sin(i) : 0 } },
    outputs: {
      p: { shape: [n], type: "f32" },
      m: { shape: [n], type: "f32", value: (i) => i % 3 ? Math.cos(i) : 0 },
      w: { shape: [n] },
    },
    reference: ({ grad, p, m }) => {
      grad.forEach((value, i) => {
        const g = SCALE * value;
        const sign = Math.sign(BETA1 * m[i] + (1 - BETA1) * g) || -zeroIsNegative;
        p[i] = p[i] * (1 - LR * DECAY) - LR * sign;
        m[i] = BETA2 * m[i] + (1 - BETA2) * g;
      });
      return { p, m, w: p };
    },
    forward: (k, a, t) =>
      k.lion(a.grad, a.p, a.m, a.w, n, SCALE, LR, BETA1, BETA2, DECAY, zeroIsNegative, t),
  };
}

testOp("adamw updates moments, master weights and weights", function* () {
  for (const n of [...SIZES, 20_000]) yield adamw(n, true);
  yield adamw(63, false);
});

testOp("lion updates the moment, master weights and weights", function* () {
  for (const n of SIZES) yield* [lion(n, 0), lion(n, 1)];
});
