// From pixels to colours.

const MOST_SORTED = 65536;
const LOGARITHMIC = 1000; // how strongly: log(1 + 1000 x) / log(1001)

/** Percentiles that become black and white, and what they are called. */
const STRETCHES = [
  ["0.5 99.7", "0.5 to 99.7 %"], ["0 100", "smallest to largest"], ["0.1 99.9", "0.1 to 99.9 %"],
  ["1 99", "1 to 99 %"], ["5 95", "5 to 95 %"],
];

/** Return the tables of 256 colours, as a canvas has them. */
const palettes = (() => {
  const grey = Array.from({ length: 256 }, (_, k) => [k, k, k]);
  const tables = { grey, "grey, inverted": [...grey].reverse() };
  for (const [name, text] of Object.entries(COLOUR_MAPS)) {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    tables[name] = Array.from({ length: 256 }, (_, k) => bytes.slice(3 * k, 3 * k + 3));
  }
  return Object.fromEntries(Object.entries(tables).map(([name, table]) => [
    name,
    Uint32Array.from(table, ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0),
  ]));
})();

/** Return finite values, sorted; not all of many, and no saturated ones if there are others. */
function sortedValues(values, saturated = NaN) {
  const step = Math.max(1, Math.floor(values.length / MOST_SORTED));
  const some = [];
  for (let k = 0; k < values.length; k += step) {
    if (Number.isFinite(values[k]) && values[k] !== saturated) some.push(values[k]);
  }
  return some.length || Number.isNaN(saturated) ? Float64Array.from(some).sort() : sortedValues(values);
}

/** Return the values that become black and white: two percentiles. */
function limitsOf(sorted, low, high) {
  if (!sorted.length) return [0, 1];
  const of = (percent) => sorted[Math.round((sorted.length - 1) * percent / 100)];
  return [of(low), of(high)];
}

/** Draw pixels on a canvas of their own, a pixel each. */
function paint(pixels, { low, high, log, map }) {
  const { rows, columns: width, samples, values } = pixels;
  const canvas = make("canvas", { width, height: rows });
  const context = canvas.getContext("2d");
  const drawn = context.createImageData(width, rows);
  const scale = high > low ? 255 / (high - low) : 0;
  const steep = 255 / Math.log1p(LOGARITHMIC);
  const level = (value) => {
    const linear = Math.min(255, Math.max(0, (value - low) * scale));
    return log ? Math.log1p(linear / 255 * LOGARITHMIC) * steep : linear;
  };
  const count = rows * width;
  if (samples === 1) {
    const colours = palettes[map];
    const out = new Uint32Array(drawn.data.buffer);
    for (let k = 0; k < count; k++) {
      const value = values[k];
      out[k] = value === value ? colours[Math.round(level(value))] : 0; // NaN is transparent
    }
  } else {
    for (let k = 0; k < count; k++) {
      for (let s = 0; s < 3; s++) drawn.data[4 * k + s] = level(values[s * count + k]);
      drawn.data[4 * k + 3] = 255;
    }
  }
  context.putImageData(drawn, 0, 0);
  return canvas;
}

/** Draw a canvas on a smaller one. */
function drawInside(source, target) {
  const context = target.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, target.width, target.height);
}
