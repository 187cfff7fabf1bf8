/**
 * Learns the merges of a BPE vocabulary from counted words: again and again the most frequent pair of
 * neighbours becomes a token. Gives the merges of the tokenizers library's `BpeTrainer`, in its order.
 *
 * @see arXiv:1508.07909, and huggingface/tokenizers, models/bpe/trainer.rs
 * @module
 */
import { PairIndex } from "./pair_index.ts";

/** Words as ids of their first symbols. */
export interface CountedWords {
  /** Symbols of all words, one after the other; overwritten. */
  symbols: Int32Array;
  /** [words + 1] where each word begins. */
  begins: Int32Array;
  /** [words] how often each occurs. */
  counts: Float64Array;
}

/** A learned merge. */
export interface LearnedMerge {
  /** Left id. */
  left: number;
  /** Right id. */
  right: number;
}

/** When to stop. */
export interface LearnOptions {
  /** Tokens so far, by id; the new ones are appended. */
  tokens: string[];
  /** Number of tokens to reach. */
  vocabSize: number;
  /** A pair that occurs less often is not merged. */
  minFrequency: number;
}

/** A pair in the queue, with the words that it may be found in. */
interface Candidate {
  pair: number;
  count: number;
  words: number[];
}

/** Learns merges in order. Of pairs that are equally frequent, the one of the lowest ids is first. */
export function learnMerges(
  { symbols, begins, counts }: CountedWords,
  { tokens, vocabSize, minFrequency }: LearnOptions,
): LearnedMerge[] {
  const pairs = new PairIndex(), idOf = new Map(tokens.map((token, id) => [token, id]));
  const lengths = new Int32Array(counts.length);
  const wordsOf = new Map<number, number[]>(); // pairs that have appeared: where
  const appear = (left: number, right: number, word: number) => {
    const pair = pairs.of(left, right), words = wordsOf.get(pair);
    pairs.counts[pair]! += counts[word]!;
    if (words === undefined) wordsOf.set(pair, [word]);
    else if (words.at(-1) !== word) words.push(word);
  };
  const disappear = (left: number, right: number, word: number) => {
    pairs.counts[pairs.of(left, right)]! -= counts[word]!;
  };
  const queue = new Queue(pairs);
  const enqueue = () => {
    for (const [pair, words] of wordsOf) {
      const count = pairs.counts[pair]!;
      if (count > 0) queue.push({ pair, count, words });
    }
    wordsOf.clear();
  };

  for (let word = 0; word < counts.length; word++) {
    const begin = begins[word]!, end = begins[word + 1]!;
    lengths[word] = end - begin;
    for (let i = begin; i + 1 < end; i++) appear(symbols[i]!, symbols[i + 1]!, word);
  }
  enqueue();

  const merges: LearnedMerge[] = [];
  while (tokens.length < vocabSize) {
    const top = queue.pop();
    if (top === undefined) break;
    const count = pairs.counts[top.pair]!;
    if (top.count !== count) { // out of date: back to where it belongs
      top.count = count;
      queue.push(top);
      continue;
    }
    if (count < Math.max(minFrequency, 1)) break;
    const left = pairs.lefts[top.pair]!, right = pairs.rights[top.pair]!;
    const token = tokens[left]! + tokens[right]!;
    let id = idOf.get(token);
    if (id === undefined) {
      id = tokens.push(token) - 1;
      idOf.set(token, id);
    }
    merges.push({ left, right });
    for (const word of top.words) {
      const begin = begins[word]!;
      let to = begin, end = begin + lengths[word]!;
      for (let i = begin; i < end; i++) {
        if (symbols[i] !== left || i + 1 >= end || symbols[i + 1] !== right) {
          symbols[to++] = symbols[i]!;
          continue;
        }
        if (to > begin) {
          const before = symbols[to - 1]!;
          disappear(before, left, word);
          appear(before, id, word);
        }
        if (i + 2 < end) {
          const after = symbols[i + 2]!;
          disappear(right, after, word);
          appear(id, after, word);
        }
        symbols[to++] = id;
        i++;
      }
      end = to;
      lengths[word] = end - begin;
    }
    enqueue();
  }
  return merges;
}

/** A binary heap: the highest count first, then the lowest left id, then the lowest right id. */
class Queue {
  readonly #heap: Candidate[] = [];
  readonly #pairs: PairIndex;

  constructor(pairs: PairIndex) {
    this.#pairs = pairs;
  }

  push(candidate: Candidate): void {
    const heap = this.#heap;
    let i = heap.push(candidate) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!this.#isBefore(candidate, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = candidate;
  }

  pop(): Candidate | undefined {
    const heap = this.#heap, top = heap[0], last = heap.pop();
    if (heap.length === 0 || last === undefined) return top;
    let i = 0;
    for (let child = 1; child < heap.length; child = 2 * i + 1) {
      if (child + 1 < heap.length && this.#isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!this.#isBefore(heap[child]!, last)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
    return top;
  }

  #isBefore(a: Candidate, b: Candidate): boolean {
    if (a.count !== b.count) return a.count > b.count;
    const { lefts, rights } = this.#pairs;
    const left = lefts[a.pair]! - lefts[b.pair]!;
    return left !== 0 ? left < 0 : rights[a.pair]! < rights[b.pair]!;
  }
}
