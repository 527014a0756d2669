// What the page shows: images, their columns, and how values are written.

const data = JSON.parse(document.getElementById("data").textContent);
const images = data.images;
images.forEach((image, n) => { image.n = n; });

/** Return a text with places where a line may break. */
const breakable = (text) => String(text).split(/(?<=[_./-])/).flatMap((part) => [part, make("wbr")]);

/** Return the path of an image without the folders that all have. */
const shortName = (() => {
  const folders = images.map((image) => image.name.split("/").slice(0, -1));
  const first = folders[0] ?? [];
  let same = 0;
  while (same < first.length && folders.every((folder) => folder[same] === first[same])) same++;
  return (image) => image.name.split("/").slice(same).join("/") + (image.page ? `, page ${image.page}` : "");
})();

/** Return how an image is called: the name of its file, with folders if several have it. */
const nameOf = (() => {
  const lastPart = (image) => image.name.split("/").pop() + (image.page ? `, page ${image.page}` : "");
  const isUnique = new Set(images.map(lastPart)).size === images.length;
  return isUnique ? lastPart : shortName;
})();

const KINDS = { sub: "subtracted" };

/** Light, dark or subtracted. */
const kindOf = (image) => KINDS[image.kind] ?? image.kind ?? "light";

/** Return how a run is called. */
function runName(image) {
  return image.scan_id === undefined ? image.run.slice(0, 8) : `scan ${image.scan_id}`;
}

/** Return minutes that the clock of the files is ahead of UTC. */
const zone = (() => {
  const found = images.map((i) => /([+-])(\d\d):(\d\d)$/.exec(i.time ?? "")).find(Boolean);
  return found ? Number(`${found[1]}1`) * (Number(found[2]) * 60 + Number(found[3])) : 0;
})();

/** Write a time [s since 1970] on the clock of the files. */
function formatTime(seconds, withDate = true) {
  const date = new Date((Number(seconds) + zone * 60) * 1000);
  if (Number.isNaN(date.getTime())) return "";
  const [day, rest] = date.toISOString().split("T");
  return withDate ? `${day} ${rest.slice(0, 8)}` : rest.slice(0, 12);
}

/** A value of a motor or of another entry, and its unit. */
const motor = (image, name) => (image.motors ?? {})[name]?.[0];
const other = (image, name) => (image.others ?? {})[name];

/** Names that come in any image, in order. */
const namesIn = (key) => [...new Set(images.flatMap((image) => Object.keys(image[key] ?? {})))];

const units = Object.fromEntries(
  namesIn("motors").map((name) => [name, images.map((i) => i.motors?.[name]?.[1]).find(Boolean)]),
);

/** What images can be sorted by and plotted: key, label, and value of an image. */
const columns = [
  { key: "frame", label: "number", get: (i) => i.frame },
  { key: "timestamp", label: "time", get: (i) => i.timestamp, write: (v) => formatTime(v) },
  ...namesIn("motors").map((name) => ({
    key: `motor ${name}`,
    label: units[name] ? `${name} [${units[name]}]` : name,
    get: (i) => motor(i, name),
    isMotor: true,
  })),
  ...namesIn("others").map((name) => ({ key: `other ${name}`, label: name, get: (i) => other(i, name), isMotor: true })),
  { key: "mean", label: "mean", get: (i) => i.mean },
  { key: "min", label: "minimum", get: (i) => i.min },
  { key: "max", label: "maximum", get: (i) => i.max },
  { key: "saturated", label: "saturated pixels", get: (i) => i.saturated },
  { key: "invalid", label: "invalid pixels", get: (i) => i.invalid || undefined },
  { key: "exposure", label: "exposure [s]", get: (i) => i.exposure },
].filter((column) => images.some((i) => column.get(i) !== undefined && column.get(i) !== null));

const columnOf = (key) => columns.find((column) => column.key === key);
const write = (column, image) => {
  const value = column.get(image);
  if (value === undefined || value === null) return "";
  return column.write ? column.write(value) : format(value);
};

/** Columns that are numbers in some image. */
const numeric = columns.filter((column) => images.some((i) => typeof column.get(i) === "number"));
