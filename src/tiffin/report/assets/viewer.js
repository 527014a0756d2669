// One image, large, in its full depth.

const BINS = 128;

const viewer = at("viewer");
const camera = new Camera();
const panes = [
  new Pane(at("pane"), camera, (row, column) => showValue(row, column)),
  new Pane(at("pane-beside"), camera, (row, column) => showValue(row, column)),
];
const now = { image: null, pixels: null, beside: null, turn: 0 };

function openViewer(n) {
  now.opener = document.activeElement;
  if (!viewer.open) viewer.showModal();
  camera.fitted = true;
  now.point = null;
  panes.forEach((pane) => { pane.cursor = null; });
  at("readout").textContent = "Point at the image to read a value.";
  showImage(images[n]);
  at("pane").focus();
}

/** Go to an image by so many steps. */
function step(steps) {
  const next = shown.list[shown.list.indexOf(now.image) + steps];
  if (next) showImage(next);
}

/** Return the images that can be shown beside one: [key, text, image]. */
function companionsOf(image) {
  return [["dark", "its dark"], ["light", "its light image"]]
    .filter(([key]) => image[key] !== undefined)
    .map(([key, text]) => [key, text, images[image[key]]]);
}

async function showImage(image) {
  const turn = ++now.turn;
  const place = shown.list.indexOf(image);
  now.image = image;
  at("viewer-title").textContent = nameOf(image);
  at("previous").disabled = place <= 0;
  at("next").disabled = place < 0 || place >= shown.list.length - 1;
  showFacts(image);
  const companions = companionsOf(image);
  const field = at("beside");
  const chosen = companions.some(([key]) => key === field.value) ? field.value : "";
  fill(field, [["", "nothing"], ...companions], chosen);
  at("beside-field").hidden = !companions.length;
  viewer.dataset.shown = "no";
  try {
    const [pixels, beside] = await Promise.all([allPixelsOf(image), besideOf(image)]);
    if (turn !== now.turn) return;
    Object.assign(now, { pixels, beside, sorted: sortedOf(image, pixels) });
    redraw();
    viewer.dataset.shown = "yes";
  } catch (error) {
    at("readout").textContent = `The pixels can't be shown: ${error.message}`;
  }
}

async function besideOf(image) {
  const found = companionsOf(image).find(([key]) => key === at("beside").value);
  if (!found) return null;
  return { text: found[1], image: found[2], pixels: await allPixelsOf(found[2]) };
}

/** Values without those of saturated pixels. */
const sortedOf = (image, pixels) => sortedValues(pixels.values, image.saturated ? Number(image.max) : NaN);

/** Return what is black and white: in the first stretch the same as in the sheet. */
function chosenLimits(image, sorted) {
  const chosen = at("stretch").value;
  if (chosen === STRETCHES[0][0]) return [Number(image.low ?? 0), Number(image.high ?? 1)];
  const [low, high] = chosen.split(" ").map(Number);
  return high === 100 ? [Number(image.min ?? 0), Number(image.max ?? 1)] : limitsOf(sorted, low, high);
}

/** Draw the image with the chosen stretch, and the histogram. */
function redraw() {
  const { pixels, beside, image } = now;
  if (!pixels) return;
  const style = { log: at("viewer-log").checked, map: at("viewer-map").value };
  const limits = chosenLimits(image, now.sorted);
  at("pane-beside").parentElement.hidden = !beside;
  panes[0].show(paint(pixels, { ...style, low: limits[0], high: limits[1] }), pixels.reduction);
  at("pane").setAttribute("aria-label", `Image ${nameOf(image)}`);
  at("caption").textContent = beside ? `${kindOf(image)}: ${nameOf(image)}` : "";
  if (beside) {
    const own = chosenLimits(beside.image, sortedOf(beside.image, beside.pixels));
    panes[1].show(paint(beside.pixels, { ...style, low: own[0], high: own[1] }), beside.pixels.reduction);
    at("caption-beside").textContent = `${beside.text}: ${nameOf(beside.image)}`;
    at("pane-beside").setAttribute("aria-label", `Image ${nameOf(beside.image)}`);
  }
  showReduction(pixels);
  showHistogram(limits);
  if (now.point) showValue(...now.point);
}

/** Say that not all pixels are there. */
function showReduction(pixels) {
  const { reduction } = pixels;
  at("reduced").hidden = reduction === 1;
  const all = data.full ? "" : " “tiffin report --full” keeps all pixels.";
  at("reduced").textContent = reduction === 1 ? "" :
    `Shown at 1/${reduction} of its size: each pixel is the mean of ${reduction} × ${reduction}.${all}`;
}

/** Return the value of a pixel: exactly, or the mean of several. */
function valueAt(pixels, row, column) {
  const { rows, columns: width, samples, exact } = pixels;
  if (row >= rows || column >= width) return "–";
  const found = [];
  for (let s = 0; s < samples; s++) found.push(exact[s * rows * width + row * width + column]);
  return found.map((value) => (exact instanceof Float32Array ? shortest(value) : String(value))).join(", ");
}

/** Write a number of 32 bits with as few digits as tell it from others. */
function shortest(value) {
  const digits = [6, 7, 8, 9].find((n) => Math.fround(Number(value.toPrecision(n))) === value);
  return digits ? String(Number(value.toPrecision(digits))) : String(value);
}

/** Show the position and the value of a pixel. */
function showValue(row, column) {
  const { pixels, beside } = now;
  now.point = [row, column];
  if (!pixels || row >= pixels.rows || column >= pixels.columns) return;
  const n = pixels.reduction;
  const range = (k, most) => (n === 1 ? k : `${k * n}–${Math.min(k * n + n, most) - 1}`);
  const [rows, width] = now.image.shape;
  let text = `row ${range(row, rows)}  column ${range(column, width)}  ${n === 1 ? "value" : "mean"} ${valueAt(pixels, row, column)}`;
  if (beside && beside.pixels.reduction === n) text += `   ${beside.text} ${valueAt(beside.pixels, row, column)}`;
  at("readout").textContent = text;
}

function showHistogram([low, high]) {
  const { sorted, pixels, image } = now;
  const canvas = at("histogram");
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth || 260, canvas.clientHeight || 90];
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  if (!sorted.length) return;
  const [least, most] = [sorted[0], sorted.at(-1)];
  const span = most - least || 1;
  const counts = new Float64Array(BINS);
  for (const value of sorted) counts[Math.min(BINS - 1, Math.floor((value - least) / span * BINS))]++;
  const top = Math.log1p(Math.max(...counts));
  context.fillStyle = styleOf("--accent");
  counts.forEach((count, k) => {
    const bar = Math.log1p(count) / top * (height - 4);
    context.fillRect(k * width / BINS, height - bar, Math.max(1, width / BINS - 0.5), bar);
  });
  context.fillStyle = styleOf("--text");
  for (const value of [low, high]) {
    context.fillRect(Math.min(width - 1, (value - least) / span * width), 0, 1, height);
  }
  const some = (pixels.values.length > MOST_SORTED ? ", of some pixels" : "") + (image.saturated ? ", without saturated pixels" : "");
  at("histogram-caption").textContent =
    `${format(least)} to ${format(most)}; black ${format(low)}, white ${format(high)}. Counts are logarithmic${some}.`;
}

/** List what is known of an image. */
function showFacts(image) {
  const facts = [
    ["File", image.name + (image.page ? `, page ${image.page}` : "")],
    ["Run", `${runName(image)} (${image.run})`],
    ["Sample", image.sample], ["Plan", image.plan],
    ["Stream, field", [image.stream, image.field].filter(Boolean).join(", ")],
    ["Number", [image.frame, image.seq_num === null ? "" : `event ${image.seq_num}`, image.i ? `image ${image.i} of it` : ""].filter((v) => v !== "" && v !== undefined).join(", ")],
    ["Time", image.time ? image.time.replace("T", " ").replace(/(\.\d{3})\d+/, "$1") : image.timestamp === undefined ? "" : formatTime(image.timestamp)],
    ...Object.entries(image.motors ?? {}).map(([name, [value, unit]]) => [name, `${format(value)}${unit ? ` ${unit}` : ""}`]),
    ...Object.entries(image.others ?? {}).map(([name, value]) => [name, format(value)]),
    ["Exposure", image.exposure === undefined ? "" : `${format(image.exposure)} s`],
    ["Pixels", `${image.shape.join(" × ")}, ${image.dtype}`],
    ["Mean", format(image.mean)], ["Smallest, largest", `${format(image.min)}, ${format(image.max)}`],
    ["Saturated pixels", image.saturated === null ? `unknown for ${image.dtype}` : format(image.saturated)],
    ["Invalid pixels", image.invalid ? format(image.invalid) : ""],
    ["Clipped pixels", format(image.clipped)],
    ["Kind", image.kind ? kindOf(image) : ""],
    ...(image.corrections ?? []).map((text, k) => [k ? "" : "Corrections", text]),
    ...(image.used ?? []).map((text, k) => [k ? "" : "Used", text]),
    ["Dark", image.kind === "sub" && image.dark === undefined ? "its image is not in this folder" : ""],
  ];
  at("facts").replaceChildren(...facts.filter(([, text]) => text !== "" && text !== undefined)
    .flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
}

/** The middle of the first pane, for zooming by keys and buttons. */
const zoomBy = (factor) => camera.zoom(factor, at("pane").clientWidth / 2, at("pane").clientHeight / 2);

const oneToOne = () => zoomBy(1 / camera.scale);

function nextMap() {
  const names = Object.keys(palettes);
  const map = at("viewer-map");
  map.value = names[(names.indexOf(map.value) + 1) % names.length];
  redraw();
}

function keyInViewer(event) {
  const arrows = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  const inField = /^(SELECT|INPUT)$/.test(event.target.tagName);
  if (event.ctrlKey || event.metaKey || event.altKey || inField) return;
  if (event.shiftKey && arrows[event.key]) {
    panes[0].moveCursor(...arrows[event.key]);
    at("spoken").textContent = at("readout").textContent;
  } else {
    const actions = {
      ArrowLeft: () => step(-1), ArrowRight: () => step(1),
      "+": () => zoomBy(1.5), "=": () => zoomBy(1.5), "-": () => zoomBy(1 / 1.5),
      0: () => camera.fit(), 1: oneToOne, c: nextMap,
      l: () => { at("viewer-log").checked = !at("viewer-log").checked; redraw(); },
    };
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    action();
  }
  event.preventDefault();
}

function startViewer() {
  fill(at("stretch"), STRETCHES);
  fill(at("viewer-map"), Object.keys(palettes).map((name) => [name, name]), shown.map);
  for (const id of ["stretch", "viewer-map", "viewer-log"]) at(id).addEventListener("change", redraw);
  at("beside").addEventListener("change", () => showImage(now.image));
  viewer.addEventListener("keydown", keyInViewer);
  viewer.addEventListener("close", () => now.opener?.focus());
  const clicks = {
    previous: () => step(-1), next: () => step(1), close: () => viewer.close(),
    "zoom-in": () => zoomBy(1.5), "zoom-out": () => zoomBy(1 / 1.5), fit: () => camera.fit(), one: oneToOne,
  };
  for (const [id, action] of Object.entries(clicks)) at(id).addEventListener("click", action);
}
