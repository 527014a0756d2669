// Figures against number, time or a motor. Drawn by uPlot.

const HEIGHT = 230;
const COLOURS = ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5", "--series-6"];
const WHOLE = [1, 2, 5].flatMap((n) => [1, 10, 100, 1e3, 1e4, 1e5].map((m) => n * m)).sort((a, b) => a - b);
let plot = null;
let plotted = [];

const styleOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Return a function that names the series of an image: by what tells images apart. */
function namesOfSeries() {
  const parts = [runName, (i) => i.field ?? "", kindOf].filter((of) => {
    const found = new Set(plotted.map(of)).size;
    return found > 1 && found <= COLOURS.length;
  });
  return (image) => parts.map((of) => of(image)).join(", ");
}

/** Leave a margin, so that no point is on the edge. */
function padded(least, most) {
  const margin = (most - least) * 0.02 || 0.5;
  return [least - margin, most + margin];
}

function showPlot(width = at("plot").clientWidth || 600) {
  const x = columnOf(at("plot-x").value);
  const y = columnOf(at("plot-y").value);
  plot?.destroy();
  plot = null;
  if (!x || !y) return;
  plotted = shown.list.filter((i) => typeof x.get(i) === "number" && typeof y.get(i) === "number");
  plotted.sort((a, b) => x.get(a) - x.get(b) || a.n - b.n);
  const seriesOf = namesOfSeries();
  const names = [...new Set(plotted.map(seriesOf))];
  const lines = names.map((name) => plotted.map((i) => (seriesOf(i) === name ? y.get(i) : null)));
  const isTime = x.key === "timestamp";
  const axis = (label) => ({
    label,
    stroke: () => styleOf("--text"),
    grid: { stroke: () => styleOf("--line"), width: 1 },
    ticks: { stroke: () => styleOf("--line"), width: 1 },
    font: "12px system-ui, sans-serif",
    labelFont: "12px system-ui, sans-serif",
    labelSize: 20,
    size: 32,
  });
  const options = {
    width,
    height: HEIGHT,
    cursor: { drag: { x: false, y: false }, points: { size: 9 } },
    legend: { show: names.length > 1, live: false },
    scales: { x: { time: isTime, range: (_, least, most) => padded(least, most) } },
    tzDate: (seconds) => uPlot.tzDate(new Date((seconds + zone * 60) * 1000), "Etc/UTC"),
    axes: [{ ...axis(x.label), ...(x.key === "frame" ? { incrs: WHOLE } : {}) }, { ...axis(y.label), size: 64 }],
    series: [{ label: x.label }, ...names.map((name, n) => ({
      label: name || y.label,
      stroke: () => styleOf(COLOURS[n % COLOURS.length]),
      width: 1.5,
      spanGaps: true,
      points: { show: plotted.length <= 400, size: 7, fill: () => styleOf(COLOURS[n % COLOURS.length]) },
    }))],
  };
  plot = new uPlot(options, [plotted.map(x.get), ...lines], at("plot"));
  plot.over.addEventListener("click", () => {
    const found = plotted[plot.cursor.idx];
    if (found) openViewer(found.n);
  });
  const canvas = at("plot").querySelector("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${y.label} against ${x.label} of ${plotted.length} images`);
}
