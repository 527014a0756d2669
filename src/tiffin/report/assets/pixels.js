// Pixels of images: unpacked when they are needed, the newest stay in memory.

const TYPES = {
  u1: Uint8Array, i1: Int8Array, u2: Uint16Array, i2: Int16Array, u4: Uint32Array,
  i4: Int32Array, u8: BigUint64Array, i8: BigInt64Array, f4: Float32Array,
  f8: Float64Array, q: Int32Array,
};
const UNSIGNED = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array };
const NOT_A_NUMBER = -(2 ** 31);
const MOST_CACHED = 2 ** 26; // bytes

/** Inflate base64. (A Blob as source would take 40 times as long.) */
async function inflate(text) {
  const packed = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new DecompressionStream("deflate");
  const writer = stream.writable.getWriter();
  writer.write(packed);
  writer.close();
  const parts = [];
  let length = 0;
  const reader = stream.readable.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    parts.push(next.value);
    length += next.value.length;
  }
  const bytes = new Uint8Array(length);
  let filled = 0;
  for (const part of parts) {
    bytes.set(part, filled);
    filled += part.length;
  }
  return bytes;
}

/** Put the bytes of each value together again, and add up differences. */
function joined(apart, kind) {
  const size = TYPES[kind].BYTES_PER_ELEMENT;
  const count = apart.length / size;
  const bytes = new Uint8Array(apart.length);
  for (let b = 0; b < size; b++) {
    for (let k = 0, from = b * count; k < count; k++) bytes[k * size + b] = apart[from + k];
  }
  if (kind[0] !== "f" && size < 8) {
    const values = new UNSIGNED[size](bytes.buffer);
    for (let k = 0; k < count; k++) { // the last bit is the sign of a difference
      const difference = values[k];
      values[k] = (difference >>> 1) ^ -(difference & 1);
      if (k) values[k] += values[k - 1];
    }
  }
  return new TYPES[kind](bytes.buffer);
}

/**
 * Unpack a view: {rows, columns, samples, reduction, values, exact}. `values` are
 * numbers, sample after sample; `exact` are what the file has, where numbers would
 * round it.
 */
async function unpack(view) {
  const found = joined(await inflate(view.data), view.type);
  let values = found;
  if (view.type === "q") {
    values = Float64Array.from(found, (v) => (v === NOT_A_NUMBER ? NaN : v * view.step));
  } else if (found instanceof BigInt64Array || found instanceof BigUint64Array) {
    values = Float64Array.from(found, Number);
  }
  const { rows, columns: width, samples, reduction } = view;
  return { rows, columns: width, samples, reduction, values, exact: view.type === "q" ? values : found };
}

const cache = new Map(); // the oldest first
let cachedBytes = 0;

function store(key, pixels) {
  cache.set(key, pixels);
  cachedBytes += pixels.values.byteLength;
  for (const [oldest, old] of cache) {
    if (cachedBytes <= MOST_CACHED || oldest === key) break;
    cache.delete(oldest);
    cachedBytes -= old.values.byteLength;
  }
  return pixels;
}

/** Return the pixels of an image as they are in the page. */
async function pixelsOf(image) {
  return cache.get(image.n) ?? store(image.n, await unpack(image.view));
}

const loading = new Map();
window.tiffinImage = (n, view) => loading.get(n)?.(view);

/** Return all pixels of an image: from the page, or from the file beside it. */
async function allPixelsOf(image) {
  if (!image.full) return pixelsOf(image);
  const key = `full ${image.n}`;
  if (cache.has(key)) return cache.get(key);
  const view = await new Promise((resolve, reject) => {
    loading.set(image.n, resolve);
    const script = make("script", { src: image.full });
    script.addEventListener("error", () => reject(new Error(`${image.full} is not beside the page`)));
    script.addEventListener("load", () => script.remove());
    document.head.append(script);
  });
  loading.delete(image.n);
  return store(key, await unpack(view));
}
