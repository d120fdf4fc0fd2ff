// How right the model is, over its corrections: on the reference pictures, and on the pictures from here.

import { Chart } from "./chart.js";
import { element, find } from "./dom.js";
import { get } from "./service.js";
import { percent, text } from "./texts.js";

const KINDS = ["sentinel", "field"];

export class Accuracy {
  constructor() {
    this.facts = null;
    this.root = element("div", { class: "accuracy" });
    find("view-accuracy").append(this.root);
  }

  async refresh() {
    this.facts = await get("v1/accuracy");
    this.fill();
  }

  fill() {
    if (!this.facts) return;
    const series = KINDS.map((kind) => ({ kind, name: text(`accuracy.${kind}`), points: this.facts[kind].map(({ correction, accuracy }) => [correction, accuracy]) }));
    const told = series.filter(({ points }) => points.length);
    this.root.replaceChildren(element("div", { class: "figures" }, ...series.map(figure)));
    if (!told.some(({ points }) => points.at(-1)[0] > 0)) {
      this.root.append(element("p", { class: "none", text: text("accuracy.empty") }));
      return;
    }
    const chart = new Chart(told, { across: text("accuracy.x"), summary: summary(told), level: level(this.facts) });
    this.root.append(element("figure", { class: "plot" }, chart.svg), table(series));
  }
}

function figure({ kind, name, points }) {
  const last = points.at(-1)?.[1];
  return element("div", { class: `figure ${kind}` },
    element("p", { class: "name" }, element("span", { class: "key", "aria-hidden": "true" }), name),
    element("p", { class: "number", text: last === undefined ? "–" : percent(last, 1) }),
    element("p", { class: "line", text: last === undefined ? text("accuracy.few") : text(`accuracy.${kind}.why`) }),
  );
}

function level({ factory }) {
  return typeof factory === "number" ? { share: factory, name: text("accuracy.factory") } : null;
}

function summary(series) {
  const said = series.map(({ name, points }) => text("accuracy.summary", { name, first: percent(points[0][1], 1), last: percent(points.at(-1)[1], 1) }));
  return text("accuracy.chart", { series: said.join(" ") });
}

function table(series) {
  const counts = [...new Set(series.flatMap(({ points }) => points.map(([count]) => count)))].sort((one, other) => other - one);
  const values = series.map(({ points }) => new Map(points));
  const head = [text("accuracy.number"), ...series.map(({ name }) => name)].map((name) => element("th", { scope: "col", text: name }));
  const rows = counts.map((count) => element("tr", {},
    element("th", { scope: "row", text: count }),
    ...values.map((known) => element("td", { text: known.has(count) ? percent(known.get(count), 1) : "" })),
  ));
  return element("details", { class: "numbers" },
    element("summary", { text: text("accuracy.table") }),
    element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": text("accuracy.table") }, element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows))),
  );
}
