/** Bias against float64. @module */
import { type Op, SIZES, testOp } from "./check_op.ts";

function bias(N: number, F: number): Op {
  return {
    title: `N = ${N}, F = ${F}`,
    inputs: { b: { shape: [F], gradient: "added to" } },
    outputs: { y: { shape: [N, F], hasGradient: true } },
    reference: ({ b, y }) => ({ y: y.map((v, i) => v + b[i % F]) }),
    forward: (k, p, t) => k.biasForward(p.y, p.b, N, F, t),
    backward: (k, p, t) => k.biasBackward(p.dy, p.db, N, F, t),
    slack: 4,
  };
}

testOp("bias is added to every row, and its gradient is their sum", function* () {
  for (const F of SIZES) yield bias(3, F);
  yield bias(1, 9);
  yield bias(203, 63);
});
