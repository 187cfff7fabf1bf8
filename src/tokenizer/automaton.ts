/**
 * Matches a regular expression without ever going back: a deterministic automaton over classes of
 * characters. Each of its states is a list of threads of the program in order of preference, so that
 * it finds what a backtracking matcher finds first, not the longest match. That a match has ended is
 * seen one character later, which is how the next character can be looked at.
 *
 * @see Russ Cox, "Regular Expression Matching in the Wild" (2010), and RE2's dfa.cc
 * @module
 */
import { CharacterClasses, END, PAIR } from "./character_classes.ts";
import { type Instruction, makeProgram, type RegexProgram } from "./regex_program.ts";
import type { RegexNode } from "./regex_node.ts";
import { isPair } from "./units.ts";

const ROW = 256; // transitions of a state: one for every class, END included
const MAX_STATES = 1000;
// a transition is the first place of the next state's row * 2, + 1 if a match has ended before the
// character; the rows of the first two states stand for what is no transition
const DEAD_ROW = 0, UNKNOWN = 2 * ROW, START_ROW = 2 * ROW;

/** The automaton of an expression. */
export class Automaton {
  readonly #classes: CharacterClasses;
  readonly #code: readonly Instruction[];
  readonly #threads: (readonly number[])[] = [[], []];
  readonly #rowOf = new Map<string, number>([["", DEAD_ROW]]);
  readonly #begins = new Uint8Array(ROW).fill(1); // 0 for the classes that no match begins with
  #table = new Int32Array(16 * ROW).fill(UNKNOWN);

  /** Makes the automaton of an expression; undefined if there is none, or only a huge one. */
  static of(node: RegexNode): Automaton | undefined {
    const program = makeProgram(node);
    if (program === undefined) return undefined;
    const automaton = new Automaton(program);
    return automaton.#explore() ? automaton : undefined;
  }

  private constructor({ code, start, sets }: RegexProgram) {
    this.#code = code;
    this.#classes = new CharacterClasses(sets);
    const threads: number[] = [];
    this.#follow(start, threads, new Set());
    this.#row(threads);
  }

  /** End of the match of `units[0, end)` that begins at `begin`, -1 if there is none. */
  match(units: Uint16Array, begin: number, end: number): number {
    const classes = this.#classes.ofUnit;
    let table = this.#table, row = START_ROW, last = -1;
    for (let i = begin;; i++) {
      const at = i;
      let step = table[row + (i < end ? classes[units[i]!]! : END)]!;
      if (step === UNKNOWN) { // as it always is for the first half of a pair
        const isWhole = isPair(units, i, end);
        const c = i === end
          ? END
          : isWhole
          ? this.#classes.ofPair(units[i]!, units[i + 1]!)
          : this.#classOf(units[i]!);
        if (isWhole) i++;
        step = table[row + c]!;
        if (step === UNKNOWN) {
          step = this.#step(row, c);
          table = this.#table;
        }
      }
      if ((step & 1) !== 0) last = at;
      row = step >> 1;
      if (row === DEAD_ROW) return last;
    }
  }

  /** First place of `units[begin, end)` where a match may begin; `end` if there is none. */
  skip(units: Uint16Array, begin: number, end: number): number {
    const classes = this.#classes.ofUnit, begins = this.#begins;
    let i = begin;
    while (i < end && begins[classes[units[i]!]!] === 0) i++;
    return i;
  }

  #classOf(unit: number): number {
    const c = this.#classes.ofUnit[unit]!;
    return c === PAIR ? this.#classes.ofLoneHigh : c;
  }

  /** Finds all states that the classes known now lead to. @returns false if they are too many */
  #explore(): boolean {
    const classes = [...Array(this.#classes.count).keys(), END];
    for (let row = START_ROW; row < this.#threads.length * ROW; row += ROW) {
      for (const c of classes) this.#step(row, c);
      if (this.#threads.length > MAX_STATES) return false;
    }
    for (const c of classes) if (this.#table[START_ROW + c] === DEAD_ROW) this.#begins[c] = 0;
    return true;
  }

  /** Finds the transition of a state by a class. */
  #step(row: number, c: number): number {
    const now: number[] = [], next: number[] = [], seen = new Set<number>();
    for (const thread of this.#threads[row / ROW]!) this.#follow(thread, now, seen, c);
    const followed = new Set<number>();
    let ended = 0;
    for (const thread of now) {
      const instruction = this.#code[thread]!;
      if (instruction.kind === "match") {
        ended = 1; // the threads after it do not count
        break;
      }
      if (instruction.kind === "take" && this.#classes.isIn(c, instruction.set)) {
        this.#follow(instruction.next, next, followed);
      }
    }
    const step = this.#row(next) << 1 | ended;
    this.#table[row + c] = step;
    return step;
  }

  /** Adds the instructions that a thread comes to; it waits at a look while the class is unknown. */
  #follow(place: number, threads: number[], seen: Set<number>, c?: number): void {
    if (seen.has(place)) return;
    seen.add(place);
    const instruction = this.#code[place]!;
    if (instruction.kind === "fork") {
      this.#follow(instruction.next, threads, seen, c);
      this.#follow(instruction.other, threads, seen, c);
    } else if (instruction.kind === "look" && c !== undefined) {
      const { set, negated, next } = instruction;
      if (this.#classes.isIn(c, set) !== negated) this.#follow(next, threads, seen, c);
    } else threads.push(place);
  }

  /** The row of the state with these threads. */
  #row(threads: readonly number[]): number {
    const key = threads.join(" ");
    let row = this.#rowOf.get(key);
    if (row === undefined) {
      row = (this.#threads.push(threads) - 1) * ROW;
      this.#rowOf.set(key, row);
      if (row + ROW > this.#table.length) {
        const table = new Int32Array(2 * this.#table.length).fill(UNKNOWN);
        table.set(this.#table);
        this.#table = table;
      }
    }
    return row;
  }
}
