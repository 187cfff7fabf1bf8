/**
 * Machine code of NVIDIA GPUs, as `cuobjdump -sass` prints it: instructions, and what a turn of a
 * loop on tensor cores issues.
 * @module
 */

/** One instruction. */
export interface Instruction {
  address: number;
  /** Opcode with its suffixes: `HMMA.16816.F32.BF16`. */
  op: string;
  /** Whether a predicate guards it. */
  guarded: boolean;
  /** Where it may jump to. */
  target: number | undefined;
}

/** The functions of a listing by their mangled names. */
export function parseSass(text: string): Map<string, Instruction[]> {
  const functions = new Map<string, Instruction[]>();
  let current: Instruction[] = [];
  for (const line of text.split("\n")) {
    const title = line.match(/^\s*Function : (\S+)/);
    if (title !== null) {
      current = [];
      functions.set(title[1]!, current);
      continue;
    }
    const code = line.match(/^\s*\/\*([0-9a-f]{4,})\*\/\s+(@!?U?P\w+ )?([A-Z][\w.]*)([^;]*);/);
    if (code === null) continue;
    const [, address, guard, op, rest] = code;
    const target = /^(BRA|BRX|JMP)\b/.test(op!) ? rest!.match(/\b0x([0-9a-f]+)\s*$/) : null;
    current.push({
      address: parseInt(address!, 16),
      op: op!,
      guarded: guard !== undefined || /^\s+!?U?P\d/.test(rest!),
      target: target === null ? undefined : parseInt(target[1]!, 16),
    });
  }
  return functions;
}

/** How many instructions have an opcode that begins with one of these words. */
export function count(code: Instruction[], ...ops: string[]): number {
  return code.filter(({ op }) => ops.includes(op.split(".")[0]!)).length;
}

/** What a warp issues in one turn of a loop. */
export interface Turn {
  way: Instruction[];
  /** Loops within, which the way passes once: it is longer in truth. */
  innerLoops: number;
}

/**
 * The turn with the most matrix products and asynchronous copies, and of such ways the shortest:
 * what a tile on no border skips (masks) is not on it. Of several loops, the one with the fewest
 * instructions for each product; undefined when no loop has products.
 */
export function hottestTurn(code: Instruction[]): Turn | undefined {
  const index = new Map(code.map(({ address }, i) => [address, i]));
  const loops = code.flatMap(({ target, address }, last) => {
    const first = target !== undefined && target <= address ? index.get(target) : undefined;
    const way = first === undefined ? undefined : findWay(code, index, first, last);
    return way === undefined ? [] : [{ first: first!, last, way }];
  });
  const turns = loops.filter(({ way }) => count(way, "HMMA") > 0).map(({ first, last, way }) => ({
    way,
    innerLoops: loops.filter((inner) => inner.first > first && inner.last < last).length,
  }));
  const cost = ({ way }: Turn) => way.length / count(way, "HMMA");
  return turns.sort((a, b) => cost(a) - cost(b))[0];
}

/** How an instruction was reached, and what that took. */
interface Step {
  from: number;
  products: number;
  copies: number;
  instructions: number;
}

/** The best way from an instruction to a later one, without a jump back. */
function findWay(
  code: Instruction[],
  index: Map<number, number>,
  first: number,
  last: number,
): Instruction[] | undefined {
  const steps = new Map<number, Step>();
  steps.set(first, { from: -1, products: 0, copies: 0, instructions: 0 });
  for (let i = first; i < last; i++) {
    const { op, guarded, target } = code[i]!;
    const here = steps.get(i);
    if (here === undefined) continue;
    const next = {
      from: i,
      products: here.products + Number(op.startsWith("HMMA")),
      copies: here.copies + Number(op.startsWith("LDGSTS")),
      instructions: here.instructions + 1,
    };
    const reach = (to: number | undefined) => {
      if (to !== undefined && to > i && to <= last && isBetter(next, steps.get(to))) {
        steps.set(to, next);
      }
    };
    if (target !== undefined) reach(index.get(target));
    if (guarded || !/^(BRA|BRX|JMP|EXIT|RET)\b/.test(op)) reach(i + 1);
  }
  if (!steps.has(last)) return undefined;
  const way: Instruction[] = [];
  for (let i = last; i >= 0; i = steps.get(i)!.from) way.unshift(code[i]!);
  return way;
}

function isBetter(a: Step, b: Step | undefined): boolean {
  if (b === undefined) return true;
  if (a.products !== b.products) return a.products > b.products;
  if (a.copies !== b.copies) return a.copies > b.copies;
  return a.instructions < b.instructions;
}
