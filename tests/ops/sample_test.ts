/** Choosing tokens on the device, against the rules in float64 by a full sort. @module */
import { assertEquals, assertThrows } from "@std/assert";
import { type Context, openContext } from "../../ffi/context.ts";
import { NativeError } from "../../ffi/native_error.ts";
import { BACKENDS, isAvailable, normal, type Op, testOp } from "./check_op.ts";

interface Rules {
  temperature: number;
  topK?: number;
  topP?: number;
}

/** Tokens in the order of their logits, of equal ones the lower first; nan is the least. */
function byLogit(row: Float64Array): number[] {
  const value = (id: number) => Number.isNaN(row[id]) ? -Infinity : row[id];
  return [...row.keys()].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    return x === y ? a - b : y - x;
  });
}

/** Tokens that may be drawn, in the order of ids, and how their probabilities add up. */
function keptOf(row: Float64Array, { temperature, topK = 0, topP = 1 }: Rules) {
  const sorted = byLogit(row);
  const max = Number.isNaN(row[sorted[0]]) ? -Infinity : row[sorted[0]];
  const weight = (id: number) =>
    row[id] === max || max === -Infinity ? 1 : Math.exp((row[id] - max) / temperature) || 0;
  let ids = topK > 0 ? sorted.slice(0, topK) : sorted;
  const total = ids.reduce((sum, id) => sum + weight(id), 0);
  let count = 0, sum = 0;
  if (topP < 1) {
    while (count < ids.length && sum < topP * total) sum += weight(ids[count++]);
    ids = ids.slice(0, count);
  }
  ids.sort((a, b) => a - b);
  let upTo = 0;
  const sums = ids.map((id) => upTo += weight(id));
  return { ids, sums: sums.map((s) => s / upTo) };
}

/** Rows of logits, each with a uniform number in the middle of the share of some token. */
function sample(
  title: string,
  N: number,
  V: number,
  rules: Rules,
  value: (i: number) => number,
): Op {
  const rows = Array.from(
    { length: N },
    (_, n) => Float64Array.from({ length: V }, (_, v) => Math.fround(value(n * V + v))),
  );
  const { temperature, topK = 0, topP = 1 } = rules;
  const chosen = rows.map((row, n) => {
    if (temperature === 0) return { u: NaN, token: byLogit(row)[0] };
    const { ids, sums } = keptOf(row, rules);
    let i = Math.floor((n + 0.5) / N * ids.length); // from the first to the last kept token
    const share = (i: number) => sums[i] - (sums[i - 1] ?? 0);
    while (share(i) < 1e-6) i--; // a share that rounding cannot miss
    return { u: sums[i] - share(i) / 2, token: ids[i] };
  });
  return {
    title: `${title}, N = ${N}, V = ${V}, ${JSON.stringify(rules)}`,
    inputs: {
      x: { shape: [N, V], type: "f32", value },
      u: { shape: [N], type: "f64", value: (n) => chosen[n].u },
    },
    outputs: { token: { shape: [N], type: "i32" } },
    reference: () => ({ token: Float64Array.from(chosen, ({ token }) => token) }),
    forward: (k, p) => k.sample(p.x, p.u, p.token, N, V, temperature, topK, topP),
    types: ["f32"],
  };
}

/** Normal numbers of a small vocabulary of values, so that some are equal. */
const numbers = (seed: number, step = 0) => {
  const random = normal(seed), known = new Map<number, number>();
  return (i: number) => {
    let value = known.get(i);
    if (value === undefined) {
      value = step > 0 ? Math.round(random() * 3 / step) * step : random() * 3;
      known.set(i, value);
    }
    return value;
  };
};

testOp("a token is drawn by its probability among the kept ones", function* () {
  for (const V of [1, 31, 257, 4097]) {
    yield sample("all", 2, V, { temperature: 0.7 }, numbers(V));
    yield sample("the largest", 2, V, { temperature: 0 }, numbers(V));
  }
  yield sample("many chunks", 1, 9000, { temperature: 1.5, topK: 300, topP: 0.9 }, numbers(3));
  yield sample("top-k", 3, 1000, { temperature: 1, topK: 5 }, numbers(4));
  yield sample("top-k above V", 2, 30, { temperature: 1, topK: 50 }, numbers(5));
  yield sample("top-p", 3, 1000, { temperature: 1, topP: 0.4 }, numbers(6));
  yield sample("one of top-p", 2, 1000, { temperature: 1, topP: 1e-6 }, numbers(7));
});

testOp("of equal logits the lower ids are kept", function* () {
  const numbersOf = (seed: number) => numbers(seed, 2); // few values, each of many tokens
  yield sample("ties", 3, 700, { temperature: 0 }, numbersOf(8));
  yield sample("ties", 3, 700, { temperature: 1, topK: 40 }, numbersOf(9));
  yield sample("ties", 3, 700, { temperature: 1, topP: 0.45 }, numbersOf(10));
  yield sample("ties", 1, 4700, { temperature: 1, topK: 2000, topP: 0.45 }, numbersOf(11));
  yield sample("all equal", 1, 5000, { temperature: 1, topK: 4500, topP: 0.45 }, () => -2);
  yield sample("0 and -0", 4, 64, { temperature: 1, topK: 10 }, (i) => i % 2 ? 0 : -0);
});

testOp("infinities and nan among logits leave a token to draw", function* () {
  const odd = (values: number[]) => (i: number) => values[i % values.length];
  for (const rules of [{ temperature: 0 }, { temperature: 1 }, { temperature: 1, topP: 0.5 }]) {
    yield sample("-inf", 2, 40, rules, odd([-Infinity, 1, -Infinity, 2]));
    yield sample("nan", 2, 40, rules, odd([NaN, 1, -Infinity, 2]));
    yield sample("inf", 2, 40, rules, odd([3, Infinity, 1, Infinity, NaN]));
    yield sample("no number", 2, 40, rules, () => NaN);
    yield sample("all -inf", 2, 40, rules, () => -Infinity);
  }
});

/** The token of one row for each uniform number. */
function draw(context: Context, row: Float32Array, u: number[], rules: Rules): number[] {
  const [x, uniform, token] = [row.byteLength, 8, 4].map((bytes) => context.alloc(bytes));
  context.upload(x, row as Float32Array<ArrayBuffer>);
  const { temperature, topK = 0, topP = 1 } = rules;
  const drawn = u.map((u) => {
    context.upload(uniform, Float64Array.of(u));
    context.sample(x, uniform, token, 1, row.length, temperature, topK, topP);
    const id = new Int32Array(1);
    context.download(id, token);
    return id[0];
  });
  [x, uniform, token].forEach((block) => context.free(block));
  return drawn;
}

for (const backend of BACKENDS) {
  Deno.test({
    name: `uniform numbers at the ends draw the first and the last kept token (${backend})`,
    ignore: !isAvailable(backend),
    fn: () => {
      using context = openContext({ backend, threads: 2 });
      const row = Float32Array.from({ length: 300 }, (_, v) => Math.cos(v));
      const ends = [0, 1 - 2 ** -53];
      assertEquals(draw(context, row, ends, { temperature: 1 }), [0, 299]);
      const { ids } = keptOf(Float64Array.from(row), { temperature: 1, topK: 20 });
      assertEquals(draw(context, row, ends, { temperature: 1, topK: 20 }), [ids[0], ids[19]]);
    },
  });

  Deno.test({
    name: `what cannot be sampled by is refused (${backend})`,
    ignore: !isAvailable(backend),
    fn: () => {
      using context = openContext({ backend, threads: 1 });
      const row = Float32Array.of(1, 2);
      const refused = (rules: Rules, what: string) =>
        assertThrows(() => draw(context, row, [0], rules), NativeError, what);
      refused({ temperature: -1 }, "temperature must be >= 0");
      refused({ temperature: NaN }, "temperature must be >= 0");
      refused({ temperature: 1, topK: -1 }, "top_k must be >= 0");
      refused({ temperature: 1, topP: 0 }, "top_p must be in (0, 1]");
    },
  });
}
