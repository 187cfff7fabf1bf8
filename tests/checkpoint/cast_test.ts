import { assertEquals, assertThrows } from "@std/assert";
import { castTensor, fromF32, toF32 } from "../../src/checkpoint/cast.ts";

Deno.test("fromF32() gives back every f16 and bf16 value that toF32() read", () => {
  const all = new Uint8Array(Uint16Array.from({ length: 1 << 16 }, (_, i) => i).buffer);
  const isNaN = {
    F16: (i: number) => (i & 0x7fff) > 0x7c00,
    BF16: (i: number) => (i & 0x7fff) > 0x7f80,
  };
  for (const type of ["F16", "BF16"] as const) {
    const back = new Uint16Array(fromF32(toF32(all, type), type).buffer);
    for (let i = 0; i < back.length; i++) {
      if (isNaN[type](i)) assertEquals(isNaN[type](back[i]), true);
      else if (back[i] !== i) assertEquals(back[i], i, type);
    }
  }
});

Deno.test("fromF32() rounds to nearest, ties to even", () => {
  const bf16: [number, number][] = [
    [1, 0x3f80],
    [1 + 2 ** -8, 0x3f80], // a tie, down to even
    [1 + 3 * 2 ** -8, 0x3f82], // a tie, up to even
    [1 + 2 ** -8 + 2 ** -20, 0x3f81],
    [-(1 + 3 * 2 ** -8), 0xbf82],
    [3.4e38, 0x7f80],
    [2 ** -133, 0x0001],
    [2 ** -134, 0x0000], // a tie of the smallest value with zero
    [-0, 0x8000],
    [Infinity, 0x7f80],
  ];
  for (const [value, bits] of bf16) assertEquals(rounded(value, "BF16"), bits, `bf16 ${value}`);
  const f16: [number, number][] = [
    [1 + 2 ** -11, 0x3c00],
    [1 + 3 * 2 ** -11, 0x3c02],
    [65519, 0x7bff],
    [65520, 0x7c00],
    [2 ** -24, 0x0001],
    [2 ** -25, 0x0000],
    [2 ** -25 * 1.5, 0x0001],
  ];
  for (const [value, bits] of f16) assertEquals(rounded(value, "F16"), bits, `f16 ${value}`);
});

Deno.test("fromF32() keeps a NaN whose upper bits are those of infinity", () => {
  const values = new Float32Array(new Uint32Array([0x7f800001]).buffer);
  assertEquals(new Uint16Array(fromF32(values, "BF16").buffer)[0], 0x7fc0);
});

Deno.test("castTensor() counts the finite values that become infinite or zero, and those not finite", () => {
  const values = Float32Array.of(1, 7e4, -7e4, Infinity, NaN, 65504, 0, -0, 1e-9, 6e-8);
  const losses = { overflows: 0, underflows: 0, notFinite: 0 };
  const bytes = new Uint8Array(values.buffer);
  const tensor = { name: "w", dtype: "F32" as const, shape: [10], chunks: () => [bytes] };
  const cast = castTensor(tensor, "F16", losses);
  const [chunk] = [...cast.chunks()];
  assertEquals([cast.dtype, chunk.length, losses], ["F16", 20, {
    overflows: 2,
    underflows: 1,
    notFinite: 2,
  }]);
  assertEquals(castTensor(tensor, "F32", losses), tensor);
  assertThrows(
    () => castTensor({ ...tensor, dtype: "I32" }, "F16", losses),
    TypeError,
    "it is I32",
  );
});

Deno.test("castTensor() counts NaN and infinities of every type in every other", () => {
  const values = Float32Array.of(1, Infinity, -Infinity, NaN, 0);
  const types = ["F32", "F16", "BF16"] as const;
  for (const from of types) {
    for (const to of types.filter((type) => type !== from)) {
      const losses = { overflows: 0, underflows: 0, notFinite: 0 };
      const chunks = () => [fromF32(values, from)];
      const tensor = { name: "w", dtype: from, shape: [5], chunks };
      assertEquals([...castTensor(tensor, to, losses).chunks()].length, 1);
      assertEquals(losses, { overflows: 0, underflows: 0, notFinite: 3 }, `${from} to ${to}`);
    }
  }
});

function rounded(value: number, to: "F16" | "BF16"): number {
  return new Uint16Array(fromF32(Float32Array.of(value), to).buffer)[0];
}
