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

const seconds = (value) => (value >= 120 ? `${Math.round(value / 60)} min` : `${format(value, 3)} s`);
const runName = (run) => (run.scan_id === null || run.scan_id === undefined ? run.uid.slice(0, 8) : `scan ${run.scan_id}`);

function showFigures({ counts, live, lag, rate }) {
  const figures = {
    "in progress": (counts.working ?? 0) + live,
    queue: counts.waiting ?? 0,
    "not over": (counts.open ?? 0) - live,
    done: counts.done ?? 0,
    failed: counts.failed ?? 0,
    "frames/s": format(rate, 3),
    lag: seconds(lag),
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

function showRuns(runs) {
  at("runs").tBodies[0].replaceChildren(...runs.map((run) => make(
    "tr", {},
    make("th", { scope: "row", title: run.uid }, runName(run)),
    make("td", { class: run.state }, run.state),
    make("td", {}, String(run.written + run.skipped)),
    make("td", {}, run.started ? new Date(1000 * run.started).toLocaleString() : ""),
    make("td", {}, run.finished ? seconds(run.seconds) : ""),
    make("td", {}, ...Object.entries(run.pages).flatMap(([name, href]) => [
      make("a", { href, target: "_blank", rel: "noopener" }, name || "report", make("span", { class: "hidden" }, ` of ${runName(run)}`)), " ",
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

function showFailures({ failures, changes }) {
  at("failed").hidden = !failures.length;
  at("token-field").hidden = !changes;
  at("failures").replaceChildren(...failures.map((run) => make(
    "li", {},
    make("strong", { title: run.uid }, runName(run)),
    make("p", {}, run.why),
    make("button", { type: "button", "aria-label": `Retry ${runName(run)}`, onclick: () => retry(run) }, "Retry"),
  )));
}

// ---- the last images

let shownImages = [];

function drawImages() {
  const cut = Number(at("stretch").value);
  for (const { canvas, pixels } of shownImages) {
    const [low, high] = limitsOf(sortedValues(pixels.values), cut, 100 - cut);
    const drawn = paint(pixels, { low, high, log: at("log").checked, map: at("map").value });
    Object.assign(canvas, { width: drawn.width, height: drawn.height });
    canvas.getContext("2d").drawImage(drawn, 0, 0);
    canvas.dataset.drawn = "yes";
  }
}

async function showImages(rows) {
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
  at("source").textContent = state.source;
  onChange("figures", { counts: state.counts, live: state.live, lag: state.lag, rate: state.rate }, showFigures);
  onChange("runs", state.runs, showRuns);
  onChange("failures", { failures: state.failures, changes: state.changes }, showFailures);
  onChange("images", state.images, (rows) => {
    showImages(rows).catch(() => delete told.images); // again with the next news
  });
}

fill(at("map"), Object.keys(palettes).map((name) => [name, name]), "viridis");
for (const id of ["map", "stretch", "log"]) at(id).addEventListener("change", drawImages);
startTheme();
const news = new EventSource("events");
news.addEventListener("message", ({ data }) => {
  at("lost").hidden = true;
  show(JSON.parse(data));
});
news.addEventListener("error", () => { at("lost").hidden = false; });
