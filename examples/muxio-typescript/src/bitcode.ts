// bitcode 0.6 for the DataStore's messages. Encoding uses the plain forms, which every decoder takes;
// decoding takes all forms. The format: src/base/bitcode_codec.h of the project.

const BASES = [256, 16, 6, 4, 3, 2];
const GROUPS: Record<number, number> = {16: 2, 6: 3, 4: 4, 3: 5, 2: 8};

export class Encoder {
  private parts: number[] = [];

  private column(bytes: Uint8Array): void {
    if (bytes.length > 2) this.parts.push(0);
    for (const byte of bytes) this.parts.push(byte);
  }
  lengths(values: number[]): this {
    this.column(Uint8Array.from(values, (n) => Math.min(n, 255)));
    const large = values.filter((n) => n >= 255);
    if (large.length > 0) this.parts.push(0);
    for (const value of large) {
      let left = BigInt(value);
      for (let i = 0; i < 8; ++i, left >>= 8n) this.parts.push(Number(left & 255n));
    }
    return this;
  }
  values(values: Uint8Array[]): this {
    this.lengths(values.map((v) => v.length));
    const all = new Uint8Array(values.reduce((sum, v) => sum + v.length, 0));
    let at = 0;
    for (const value of values) {
      all.set(value, at);
      at += value.length;
    }
    this.column(all);
    return this;
  }
  bytes(): Uint8Array {
    return Uint8Array.from(this.parts);
  }
}

export class Decoder {
  private at = 0;
  constructor(private readonly data: Uint8Array) {}

  private take(size: number): Uint8Array {
    if (this.at + size > this.data.length) throw new Error("the answer is not valid bitcode");
    this.at += size;
    return this.data.subarray(this.at - size, this.at);
  }
  packed(base: number, count: number, least = 0): Uint8Array {
    const group = GROUPS[base];
    const out = new Uint8Array(count);
    let filled = 0;
    for (let byte of this.take(Math.ceil(count / group))) {
      for (let i = 0; i < group && filled < count; ++i) {
        out[filled++] = byte % base + least;
        byte = Math.floor(byte / base);
      }
    }
    return out;
  }
  private column(count: number): Uint8Array {
    if (count <= 2) return this.take(count);
    const header = this.take(1)[0];
    const least = header % 2 === 1 ? this.take(1)[0] : 0;
    const base = BASES[(header + 1) >> 1];
    return base === 256 ? this.take(count) : this.packed(base, count, least);
  }
  private integer(width: number): bigint {
    return this.take(width).reduceRight((sum, byte) => sum << 8n | BigInt(byte), 0n);
  }
  numbers(count: number): bigint[] {
    if (count === 0) return [];
    const header = this.take(1)[0];
    const least = header % 2 === 1 ? this.integer(8) : 0n;
    const width = 8 >> ((header + 1) >> 1);
    const raw = width === 1 ? Array.from(this.column(count), BigInt)
                            : Array.from({length: count}, () => this.integer(width));
    return raw.map((value) => BigInt.asUintN(64, value + least));
  }
  lengths(count: number): number[] {
    const small = Array.from(this.column(count));
    const large = this.numbers(small.filter((n) => n === 255).length);
    return small.map((n) => n === 255 ? Number(large.shift()) : n);
  }
  values(count: number): Uint8Array[] {
    const sizes = this.lengths(count);
    const all = this.column(sizes.reduce((sum, n) => sum + n, 0));
    let at = 0;
    return sizes.map((size) => all.slice(at, at += size));
  }
  flag(): boolean {
    return (this.take(1)[0] & 1) === 1;
  }
}
