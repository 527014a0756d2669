// The table: the same images as the sheet, in numbers.

const MOST_ROWS = 2000;
const tableColumns = columns.filter((column) => column.key !== "exposure");

function showTable() {
  const sort = at("sort").value;
  const head = [{ key: "name", label: "name" }, ...tableColumns].map((column) => {
    const chosen = column.key === sort;
    const order = chosen ? (isDescending() ? "descending" : "ascending") : "none";
    const button = make("button", { type: "button", onclick: () => sortBy(column.key) },
      column.label, chosen ? (isDescending() ? " ↓" : " ↑") : "");
    return make("th", { scope: "col", "aria-sort": order }, button);
  });
  const rows = shown.list.slice(0, MOST_ROWS).map((image) => make("tr", {},
    make("th", { scope: "row" },
      make("button", { type: "button", onclick: () => openViewer(image.n) }, shortName(image))),
    ...tableColumns.map((column) => make("td", {}, write(column, image)))));
  const table = at("table");
  table.tHead.replaceChildren(make("tr", {}, ...head));
  table.tBodies[0].replaceChildren(...rows);
  at("rows-left-out").hidden = shown.list.length <= MOST_ROWS;
  at("rows-left-out").textContent = `The table has the first ${MOST_ROWS} of ${shown.list.length} images: search to choose some.`;
}

function sortBy(key) {
  const again = at("sort").value === key && !isDescending();
  at("sort").value = key;
  at("direction").setAttribute("aria-pressed", again);
  update();
}
