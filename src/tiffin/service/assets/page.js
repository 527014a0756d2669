// The page of the service: what the server sends is shown as text.

/** Do something only if a part of the state has changed, so that the focus stays. */
const told = {};
function onChange(name, value, show) {
  const text = JSON.stringify(value);
  if (told[name] !== text) {
    told[name] = text;
    show(value);
  }
}

const UNITS = [[172800, 86400, "d"], [7200, 3600, "h"], [120, 60, "min"]];
const seconds = (value) => {
  const [, unit, name] = UNITS.find(([from]) => value >= from) ?? [0, 1, "s"];
  return `${unit === 1 ? format(value, 3) : Math.round(value / unit)} ${name}`;
};
const runName = (run) => (run.scan_id === null || run.scan_id === undefined ? run.uid.slice(0, 8) : `scan ${run.scan_id}`);

const STATES = { open: "in progress", live: "in progress, live", waiting: "in the queue", working: "exporting", done: "done", failed: "failed" };

/** Show children in place of others; what had the focus keeps it. */
function replace(parent, children) {
  const focused = parent.contains(document.activeElement) ? document.activeElement.id : "";
  parent.replaceChildren(...children);
  if (focused) at(focused)?.focus({ preventScroll: true });
}

function showFigures({ counts, live, lag, rate }) {
  const figures = {
    "in progress": counts.open ?? 0,
    "in the queue": counts.waiting ?? 0,
    exporting: (counts.working ?? 0) + live,
    done: counts.done ?? 0,
    failed: counts.failed ?? 0,
    "frames/s, last minute": format(rate, 3),
    "lag behind the detector": seconds(lag),
  };
  at("figures").replaceChildren(...Object.entries(figures).map(
    ([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, String(value))),
  ));
}

function showTrouble(trouble) {
  at("trouble").hidden = !trouble;
  at("trouble").textContent = trouble ? `Nothing is exported now: ${trouble}` : "";
}

// ---- runs and failures

function imagesOf(run) {
  const { written, skipped, failed } = run;
  const others = [[skipped, "skipped"], [failed, "failed"]].filter(([count]) => count);
  if (!others.length) return run.finished || written ? String(written) : "";
  return [[written, "written"], ...others].map((pair) => pair.join(" ")).join(", ");
}

function showRuns(runs) {
  at("no-run").hidden = runs.length > 0;
  at("runs-scroll").hidden = !runs.length;
  replace(at("runs").tBodies[0], runs.map((run) => make(
    "tr", {},
    make("th", { scope: "row", title: run.uid }, runName(run)),
    make("td", { class: run.state }, STATES[run.state]),
    make("td", {}, imagesOf(run)),
    make("td", {}, run.started ? new Date(1000 * run.started).toLocaleString() : ""),
    make("td", {}, run.finished ? seconds(run.seconds) : ""),
    make("td", {}, ...Object.entries(run.pages).flatMap(([name, href]) => [
      make("a", { href, id: `page-${name}-${run.uid}`, target: "_blank", rel: "noopener" }, name || "report", make("span", { class: "hidden" }, ` of ${runName(run)}`)), " ",
    ])),
  )));
}

async function retry(run) {
  const answer = await fetch(`runs/${encodeURIComponent(run.uid)}/retry`, {
    method: "POST", headers: { Authorization: `Bearer ${at("token").value}` },
  }).catch(() => undefined);
  const { error } = answer ? await answer.json() : { error: "the service does not answer" };
  at("told").textContent = error ? `Not retried: ${error}` : `${runName(run)} is tried again`;
  if (answer?.status === 401) at("token").focus();
}

function showFailures({ failures, files, count, changes }) {
  at("failed").hidden = !failures.length && !files.length;
  at("token-field").hidden = !changes;
  at("more").hidden = count <= failures.length;
  at("more").textContent = `The newest ${failures.length} of ${count}. The command tiffin serve --retry tries all of them again.`;
  const damaged = files.map(({ name, why }) => make(
    "li", {},
    make("strong", {}, name),
    make("p", {}, why, make("em", {}, " It is read again when the file changes.")),
  ));
  replace(at("failures"), failures.map((run) => make(
    "li", {},
    make("strong", { title: run.uid }, runName(run)),
    make("p", {}, run.why, run.state === "failed" ? "" : make("em", {}, run.state === "working" ? " Trying again now." : " It is tried again by itself.")),
    make("button", { type: "button", id: `retry-${run.uid}`, "aria-label": `Retry ${runName(run)}`, onclick: () => retry(run) }, "Retry"),
  )).concat(damaged));
}

// ---- the last images

let shownImages = [];

function drawImages() {
  const percentiles = at("stretch").value.split(" ").map(Number);
  for (const { canvas, pixels } of shownImages) {
    const [low, high] = limitsOf(sortedValues(pixels.values), ...percentiles);
    const drawn = paint(pixels, { low, high, log: at("log").checked, map: at("map").value });
    Object.assign(canvas, { width: drawn.width, height: drawn.height });
    canvas.getContext("2d").drawImage(drawn, 0, 0);
    canvas.dataset.drawn = "yes";
  }
}

async function showImages(rows) {
  at("no-image").hidden = rows.length > 0;
  const shown = await Promise.all(rows.map(async (row, number) => {
    const image = await (await fetch(`images/${number}`)).json();
    const name = [row.export, row.field, row.kind].filter(Boolean).join(" · ");
    const canvas = make("canvas", { role: "img", "aria-label": `Last image of ${name}` });
    const about = `${image.name}, ${image.shape.join(" × ")}, ${image.dtype}`;
    const item = make("li", {}, canvas, make("p", {}, make("strong", {}, name), make("br"), about));
    return { canvas, item, pixels: await unpack(image.view) };
  }));
  at("last").replaceChildren(...shown.map(({ item }) => item));
  shownImages = shown;
  drawImages();
}

function show(state) {
  onChange("trouble", state.trouble, showTrouble);
  if (!state.runs) return; // the journal fails
  at("source").replaceChildren("Source: ", make("span", { class: "mono" }, state.source));
  onChange("figures", { counts: state.counts, live: state.live, lag: state.lag, rate: state.rate }, showFigures);
  onChange("runs", state.runs, showRuns);
  onChange("failures", { failures: state.failures, files: state.files, count: state.counts.failed ?? 0, changes: state.changes }, showFailures);
  onChange("images", state.images, (rows) => {
    showImages(rows).catch(() => delete told.images); // again with the next news
  });
}

for (const part of [document.querySelector("main"), at("theme")]) part.hidden = false; // there is JavaScript
fill(at("map"), Object.keys(palettes).map((name) => [name, name]), "viridis");
fill(at("stretch"), STRETCHES);
for (const id of ["map", "stretch", "log"]) at(id).addEventListener("change", drawImages);
startTheme();
const news = new EventSource("events");
news.addEventListener("message", ({ data }) => {
  at("lost").hidden = true;
  show(JSON.parse(data));
});
news.addEventListener("error", () => { at("lost").hidden = false; });
