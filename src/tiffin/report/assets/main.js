// Start the page.

const MOST_PROBLEMS = 20;
const PAPER = 640; // the width of a plot on paper [CSS pixels]
const counted = (count, one, many) => `${count} ${count === 1 ? one : many}`;

/** Show what has changed: which images, in which order. */
function update() {
  choose();
  showSheet();
  showTable();
  showPlot();
}

function showHead() {
  const runs = new Map(images.map((image) => [image.run, image]));
  const [only] = runs.values();
  const samples = [...new Set(images.map((image) => image.sample).filter(Boolean))];
  const times = images.map((image) => image.timestamp).filter((time) => typeof time === "number");
  const scans = [...runs.values()].slice(0, 6).map(runName).join(", ");
  if (!images.length) {
    at("title").textContent = `Images of ${data.folder}`;
    at("summary").textContent = "No image was exported.";
    for (const id of ["controls", "images", "table"]) at(id).closest("section").hidden = true;
    return;
  }
  const parts = [
    counted(images.length, "image", "images"),
    runs.size === 1 ? `folder ${data.folder}` : "",
    runs.size === 1 ? (only.plan ?? "") : `${runs.size} runs (${scans}${runs.size > 6 ? " …" : ""})`,
    runs.size > 1 && samples.length ? `sample ${samples.slice(0, 3).join(", ")}${samples.length > 3 ? " …" : ""}` : "",
    times.length ? `${formatTime(Math.min(...times))} to ${formatTime(Math.max(...times)).slice(11)}` : "",
  ];
  at("title").textContent = runs.size === 1 && only.scan_id !== undefined
    ? [`Scan ${only.scan_id}`, only.sample].filter(Boolean).join(", ")
    : `Images of ${data.folder}`;
  at("summary").textContent = parts.filter(Boolean).join(" · ");
  const reduced = images.filter((image) => image.view.reduction > 1).length;
  if (reduced && !data.full) {
    at("reduced-note").textContent = `${counted(reduced, "image is", "images are")} reduced to keep it small; “tiffin report --full” keeps all pixels.`;
  }
}

function showProblems(most = MOST_PROBLEMS) {
  const order = ["failed", "missing", "damaged", "unreadable", "refused", "skipped"];
  const problems = [...data.problems].sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state));
  const bad = problems.filter((problem) => problem.state !== "skipped");
  const skipped = problems.length - bad.length;
  at("problems").hidden = !problems.length;
  at("problems").classList.toggle("bad", bad.length > 0);
  at("problems-title").textContent = [
    bad.length ? `⚠ ${counted(bad.length, "problem", "problems")}` : "",
    skipped ? counted(skipped, "image was skipped", "images were skipped") : "",
  ].filter(Boolean).join(", ");
  at("problem-list").replaceChildren(...problems.slice(0, most).map((problem) => make("li", {},
    make("span", { class: `state ${problem.state}` }, problem.state), " ",
    make("span", { class: "mono" }, problem.name), make("p", {}, problem.reason))));
  at("more-problems").hidden = problems.length <= most;
  at("more-problems").textContent = `Show all ${problems.length}`;
}

/** Fill a filter, or hide it if there is nothing to choose. */
function fillFilter(id, pairs) {
  const unique = [...new Map(pairs)];
  fill(at(id), [["", "all"], ...unique]);
  at(id).closest(".field").hidden = unique.length < 2;
}

function fillControls() {
  fillFilter("run", images.map((i) => [i.run, runName(i)]));
  fillFilter("of-field", images.map((i) => [`${i.stream}/${i.field}`, [i.stream === "primary" ? "" : i.stream, i.field].filter(Boolean).join(", ")]));
  fillFilter("kind", images.map((i) => [kindOf(i), kindOf(i)]));
  fill(at("sort"), [["", "as exported"], ["name", "name"], ...columns.map((c) => [c.key, c.label])]);
  fill(at("map"), Object.keys(palettes).map((name) => [name, name]), shown.map);
  const figures = numeric.filter((c) => ["mean", "max", "min", "saturated", "invalid"].includes(c.key));
  const against = numeric.filter((c) => c.isMotor || ["frame", "timestamp"].includes(c.key));
  fill(at("plot-y"), figures.map((c) => [c.key, c.label]));
  const varied = against.find((c) => c.isMotor && new Set(images.map(c.get)).size > 2);
  fill(at("plot-x"), against.map((c) => [c.key, c.label]), varied?.key);
  at("figures").hidden = !figures.length || images.length < 2;
}

function listen() {
  for (const id of ["search", "run", "of-field", "kind", "sort"]) at(id).addEventListener("input", update);
  at("direction").addEventListener("click", () => {
    at("direction").setAttribute("aria-pressed", !isDescending());
    update();
  });
  for (const id of ["plot-x", "plot-y"]) at(id).addEventListener("change", () => showPlot());
  for (const id of ["map", "brightness", "log"]) {
    at(id).addEventListener("change", () => {
      Object.assign(shown, { map: at("map").value, log: at("log").checked, same: at("brightness").value === "same" });
      at("viewer-map").value = shown.map;
      at("viewer-log").checked = shown.log;
      drawSheet();
    });
  }
  at("reset").addEventListener("click", () => {
    for (const id of ["search", "run", "of-field", "kind"]) at(id).value = "";
    update();
  });
  at("more-problems").addEventListener("click", () => showProblems(Infinity));
  at("images").addEventListener("keydown", moveFocus);
  addEventListener("resize", () => plot?.setSize({ width: at("plot").clientWidth, height: HEIGHT }));
  // Paper is white: canvases are drawn for it, and the table of problems is whole.
  addEventListener("beforeprint", () => {
    root.dataset.print = "yes";
    showProblems(Infinity);
    showPlot(PAPER);
  });
  addEventListener("afterprint", () => {
    delete root.dataset.print;
    showProblems();
    showPlot();
  });
}

for (const part of [document.querySelector("main"), at("theme")]) part.hidden = false; // there is JavaScript
showHead();
showProblems();
shapeCards();
fillControls();
startViewer();
listen();
choose();
showSheet();
showTable();
startTheme(() => {
  showPlot();
  if (viewer.open) redraw();
});
