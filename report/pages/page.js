"use strict";
// Charts come from plotly.js; this hands them their data, lets keys walk through points, and sorts tables.
const specs = JSON.parse(document.getElementById("charts").textContent);
const settings = { responsive: true, displaylogo: false, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] };

for (const [name, spec] of Object.entries(specs)) {
  const place = document.getElementById(name);
  Plotly.newPlot(place, spec.data, spec.layout, settings).then(() => { place.dataset.drawn = "yes"; });
  walk(place);
}

function walk(place) {
  const told = document.querySelector(`.told[data-for="${place.id}"]`);
  let at = -1;
  place.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const points = [];
    place.data.forEach((trace, curveNumber) => {
      if (trace.hovertext) trace.hovertext.forEach((_, pointNumber) => points.push({ curveNumber, pointNumber }));
    });
    if (!points.length) return;
    at = (at + step + points.length) % points.length;
    const point = points[at], data = place.calcdata[point.curveNumber][0].trace;
    Plotly.Fx.hover(place, [point], data.xaxis ? data.xaxis + data.yaxis : "xy");
    told.textContent = plain(data.hovertext[point.pointNumber]);
  });
}

// The text of a hover label: line breaks are the only tags in it, the rest is escaped.
function plain(text) {
  const names = { "&lt;": "<", "&gt;": ">", "&amp;": "&" };
  return text.replaceAll("<br>", ", ").replace(/&(lt|gt|amp);/g, (found) => names[found]);
}

for (const select of document.querySelectorAll("select[data-chart]")) {
  select.addEventListener("change", () => {
    const view = specs[select.dataset.chart].choices[Number(select.dataset.choice)][select.value];
    Plotly.update(document.getElementById(select.dataset.chart), view[0], view[1]);
  });
}

for (const head of document.querySelectorAll("th button")) {
  head.addEventListener("click", () => {
    const cell = head.parentElement, table = cell.closest("table"), column = cell.cellIndex;
    const order = cell.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
    for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
    cell.setAttribute("aria-sort", order);
    const key = (row) => {
      const found = row.cells[column];
      return found.dataset.v === undefined ? found.textContent : Number(found.dataset.v);
    };
    const rows = [...table.tBodies[0].rows].map((row) => [key(row), row]);
    const sign = order === "ascending" ? 1 : -1;
    rows.sort(([a], [b]) => {
      if (typeof a === "number" && typeof b === "number") return sign * (a - b);
      if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
      return sign * a.localeCompare(b, undefined, { numeric: true });
    });
    table.tBodies[0].append(...rows.map(([, row]) => row));
  });
}
