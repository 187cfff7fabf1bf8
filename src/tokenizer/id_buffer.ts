/** A growing list of token ids. @module */

/** Ids of the text being encoded; one per tokenizer, reused. */
export class IdBuffer {
  /** The ids are `data[0]` to `data[length - 1]`. */
  data: Int32Array = new Int32Array(1 << 12);
  /** How many there are. */
  length = 0;

  /** Makes place for `count` more. */
  reserve(count: number): void {
    if (this.length + count <= this.data.length) return;
    const data = new Int32Array(Math.max(this.data.length * 2, this.length + count));
    data.set(this.data.subarray(0, this.length));
    this.data = data;
  }

  /** Appends one id. */
  push(id: number): void {
    if (this.length === this.data.length) this.reserve(1);
    this.data[this.length++] = id;
  }

  /** Appends `count` ids of `from`, from `begin` on. */
  append(from: Int32Array, begin: number, count: number): void {
    this.reserve(count);
    const { data } = this;
    let n = this.length;
    for (let i = begin; i < begin + count; i++) data[n++] = from[i]!;
    this.length = n;
  }

  /** Makes runs of one id, from `begin` on, a single id. */
  fuseRuns(id: number, begin: number): void {
    const { data } = this;
    let n = begin;
    for (let i = begin; i < this.length; i++) {
      if (data[i] !== id || n === begin || data[n - 1] !== id) data[n++] = data[i]!;
    }
    this.length = n;
  }

  /** A copy of all ids; the buffer is empty afterwards. */
  take(): Int32Array {
    const ids = this.data.slice(0, this.length);
    this.length = 0;
    return ids;
  }
}
