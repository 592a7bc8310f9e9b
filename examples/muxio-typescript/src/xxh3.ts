// XXH3-64 (seed 0) of short texts: the id of a method is the hash of its name.

const MASK = (1n << 64n) - 1n;
const PRIME1 = 0x9E3779B185EBCA87n;
const PRIME2 = 0xC2B2AE3D27D4EB4Fn;
const PRIME3 = 0x165667B19E3779F9n;
const SECRET = Uint8Array.from(
  ("b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f" +
   "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c" +
   "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8" +
   "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364" +
   "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e" +
   "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e").match(/../g)!, (pair) => parseInt(pair, 16));

function read(data: Uint8Array, at: number, size: number): bigint {
  let value = 0n;
  for (let i = size - 1; i >= 0; --i) value = value << 8n | BigInt(data[at + i]);
  return value;
}

const secret = (at: number, size = 8): bigint => read(SECRET, at, size);

function fold(a: bigint, b: bigint): bigint {
  const product = a * b;
  return (product & MASK) ^ (product >> 64n);
}

const mix = (data: Uint8Array, at: number, key: number): bigint =>
  fold(read(data, at, 8) ^ secret(key), read(data, at + 8, 8) ^ secret(key + 8));

function avalanche(h: bigint): bigint {
  h = (h ^ h >> 37n) * 0x165667919E3779F9n & MASK;
  return h ^ h >> 32n;
}

function avalanche64(h: bigint): bigint {
  h = (h ^ h >> 33n) * PRIME2 & MASK;
  h = (h ^ h >> 29n) * PRIME3 & MASK;
  return h ^ h >> 32n;
}

function short(data: Uint8Array): bigint {
  const n = data.length;
  if (n === 0) return avalanche64(secret(56) ^ secret(64));
  if (n <= 3) {
    const key = BigInt(data[0]) << 16n | BigInt(data[n >> 1]) << 24n | BigInt(data[n - 1]) |
      BigInt(n) << 8n;
    return avalanche64(key ^ secret(0, 4) ^ secret(4, 4));
  }
  if (n <= 8) {
    let h = (read(data, n - 4, 4) + (read(data, 0, 4) << 32n)) ^ secret(8) ^ secret(16);
    h ^= ((h << 49n | h >> 15n) ^ (h << 24n | h >> 40n)) & MASK;
    h = h * 0x9FB21C651E98DF25n & MASK;
    h ^= (h >> 35n) + BigInt(n);
    h = h * 0x9FB21C651E98DF25n & MASK;
    return h ^ h >> 28n;
  }
  const low = read(data, 0, 8) ^ secret(24) ^ secret(32);
  const high = read(data, n - 8, 8) ^ secret(40) ^ secret(48);
  let swapped = 0n;
  for (let i = 0n; i < 8n; ++i) swapped = swapped << 8n | (low >> 8n * i & 255n);
  return avalanche((BigInt(n) + swapped + high + fold(low, high)) & MASK);
}

export function methodId(name: string): bigint {
  const data = new TextEncoder().encode(name);
  const n = data.length;
  if (n <= 16) return short(data);
  if (n > 240) throw new RangeError("names of methods have at most 240 bytes");
  let h = BigInt(n) * PRIME1;
  if (n <= 128) {
    for (let i = 0; i < Math.ceil(n / 32); ++i) {
      h += mix(data, 16 * i, 32 * i) + mix(data, n - 16 * (i + 1), 32 * i + 16);
    }
    return avalanche(h & MASK);
  }
  for (let i = 0; i < 8; ++i) h += mix(data, 16 * i, 16 * i);
  h = avalanche(h & MASK);
  for (let i = 8; i < Math.floor(n / 16); ++i) h += mix(data, 16 * i, 16 * (i - 8) + 3);
  return avalanche((h + mix(data, n - 16, 136 - 17)) & MASK);
}
