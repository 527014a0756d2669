// The contact sheet: filter, sort, draw.

const THUMBNAIL = 256; // pixels of the screen
const AT_ONCE = 16; // images
const MANY = 200;

const shown = { list: images, map: "viridis", log: false, same: false };

/** What the search looks into. */
const searched = images.map((image) => [
  image.name, image.sample, image.plan, image.field, image.stream, kindOf(image), image.time,
  image.seq_num, runName(image), image.run,
  ...Object.entries(image.motors ?? {}).flatMap(([name, [value]]) => [`${name}=${format(value)}`]),
  ...Object.entries(image.others ?? {}).flatMap(([name, value]) => [`${name}=${format(value)}`]),
].join(" ").toLowerCase());

const cards = new Map();

/** Return what a card says under its picture. */
function captionOf(image) {
  const parts = [];
  if (image.frame !== undefined) parts.push(`#${image.frame}`);
  if (image.kind) parts.push(kindOf(image));
  for (const [name, [value, unit]] of Object.entries(image.motors ?? {}).slice(0, 2)) {
    if (value != null) parts.push(`${name} ${format(value)}${unit ? `\u00a0${unit}` : ""}`);
  }
  if (image.max == null) return [...parts, "no valid pixel"];
  return [...parts, `mean ${format(image.mean, 4)}`, `max ${format(image.max, 4)}`];
}

function cardOf(image) {
  if (!cards.has(image.n)) {
    const canvas = make("canvas", { "aria-hidden": "true", width: 8, height: 8 });
    const marks = image.saturated ? make("span", { class: "mark" }, `${image.saturated} saturated`) : "";
    const button = make("button", { type: "button", onclick: () => openViewer(image.n), "data-image": image.n },
      canvas,
      make("span", { class: "name" }, ...breakable(nameOf(image))),
      make("span", { class: "about" }, ...captionOf(image).flatMap((part) => [make("span", { class: "part" }, part), " "])),
      marks);
    cards.set(image.n, { item: make("li", {}, button), canvas, drawn: "" });
  }
  return cards.get(image.n);
}

const isDescending = () => at("direction").getAttribute("aria-pressed") === "true";

/** Choose and sort the images that are shown. */
function choose() {
  const words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = { run: at("run").value, field: at("of-field").value, kind: at("kind").value };
  const list = images.filter((image) =>
    words.every((word) => searched[image.n].includes(word))
    && (!wanted.run || image.run === wanted.run)
    && (!wanted.field || `${image.stream}/${image.field}` === wanted.field)
    && (!wanted.kind || kindOf(image) === wanted.kind));
  const key = at("sort").value;
  const value = key === "name" ? (i) => i.name : columnOf(key)?.get;
  const sign = isDescending() ? -1 : 1;
  if (value) list.sort((a, b) => sign * compare(value(a), value(b)) || a.n - b.n);
  else if (sign < 0) list.reverse();
  shown.list = list;
}

/** Compare numbers as numbers, texts as texts; what is missing comes last. */
function compare(a, b) {
  const missing = (v) => v === undefined || v === null;
  if (missing(a) || missing(b)) return missing(a) - missing(b);
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

/** Give all pictures the shape that most images have. */
function shapeCards() {
  const shapes = images.map((i) => i.shape[0] / i.shape[1]).sort((a, b) => a - b);
  const middle = shapes[Math.floor(shapes.length / 2)] ?? 1;
  at("images").classList.toggle("many", images.length > MANY); // what is out of sight is not laid out
  at("images").style.setProperty("--aspect", 1 / Math.min(1.5, Math.max(0.5, middle)));
}

function showSheet() {
  at("images").replaceChildren(...shown.list.map((image) => cardOf(image).item));
  const all = images.length;
  const some = shown.list.length;
  at("count").textContent = some === all ? `${all} of ${all} shown` : `${some} of ${all} shown`;
  at("nothing").hidden = some > 0 || !all;
  drawSheet();
}

/** Return the limits of an image's thumbnail, or of all images. */
function limitsInSheet(image) {
  if (!shown.same) return [image.low, image.high];
  const known = shown.list.filter((i) => typeof i.low === "number");
  return [Math.min(...known.map((i) => i.low)), Math.max(...known.map((i) => i.high))];
}

let drawing = 0;

/** Draw the thumbnails, the first ones first; stop when something else is wanted. */
async function drawSheet() {
  const turn = ++drawing;
  document.body.dataset.drawn = "no";
  const common = shown.same ? limitsInSheet() : null;
  const waiting = shown.list.map((image) => {
    const [low, high] = common ?? limitsInSheet(image);
    return [image, { low: Number(low ?? 0), high: Number(high ?? 1), log: shown.log, map: shown.map }];
  }).filter(([image, style]) => cards.get(image.n).drawn !== JSON.stringify(style));
  for (let k = 0; k < waiting.length; k += AT_ONCE) {
    const some = waiting.slice(k, k + AT_ONCE);
    const unpacked = await Promise.all(some.map(([image]) => pixelsOf(image)));
    if (turn !== drawing) return;
    some.forEach(([image, style], n) => drawCard(cards.get(image.n), unpacked[n], style));
    await new Promise((resolve) => setTimeout(resolve)); // let the page do something else
    if (turn !== drawing) return;
  }
  document.body.dataset.drawn = "yes";
}

function drawCard(card, pixels, style) {
  let picture = paint(pixels, style);
  const reduced = THUMBNAIL / Math.max(pixels.rows, pixels.columns);
  if (reduced < 1) {
    const small = make("canvas", {
      width: Math.max(1, Math.round(pixels.columns * reduced)),
      height: Math.max(1, Math.round(pixels.rows * reduced)),
    });
    drawInside(picture, small);
    picture = small;
  }
  picture.setAttribute("aria-hidden", "true");
  card.canvas.replaceWith(picture);
  card.canvas = picture;
  card.drawn = JSON.stringify(style);
}

/** Arrow keys go from card to card. */
function moveFocus(event) {
  const buttons = [...at("images").querySelectorAll("button")];
  const now = buttons.indexOf(document.activeElement);
  if (now < 0) return;
  const top = buttons[0].offsetTop;
  const across = Math.max(1, buttons.findIndex((button) => button.offsetTop > top)) || 1;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across };
  const next = event.key === "Home" ? 0 : event.key === "End" ? buttons.length - 1 : now + steps[event.key];
  if (!buttons[next]) return;
  event.preventDefault();
  buttons[next].focus();
}
