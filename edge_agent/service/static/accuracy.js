// How right the model is, answer by answer: on the reference pictures, and on the pictures from here that people answered.

import { Chart } from "./chart.js";
import { element, find } from "./dom.js";
import { get } from "./service.js";
import { percent, text } from "./texts.js";

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
    const { sentinel, field } = this.facts;
    const series = asSeries(this.facts);
    this.root.replaceChildren(
      element("div", { class: "figures" },
        figure("sentinel", percent(sentinel.now, 1), text("accuracy.sentinel.why", { n: sentinel.size })),
        field.now.answers
          ? figure("field", percent(field.now.share), text("accuracy.field.why", { n: field.now.answers, right: field.now.right, low: percent(field.now.low), high: percent(field.now.high) }))
          : figure("field", "–", text("accuracy.field.none")),
      ),
    );
    if (series.every(({ points }) => points.length < 2)) {
      this.root.append(element("p", { class: "none", text: text("accuracy.empty") }));
      return;
    }
    const told = series.filter(({ points }) => points.length);
    const level = { share: sentinel.factory, name: text("accuracy.factory") };
    const chart = new Chart(told, { across: text("accuracy.x"), summary: summary(told), level });
    this.root.append(element("figure", { class: "plot" }, chart.svg), element("p", { class: "line basis", text: text("accuracy.basis", { share: percent(0.95) }) }), table(series));
  }
}

// Both series over the answers, which are counted by their times: an answer that was right already changed nothing of the first.
export function asSeries({ sentinel, field }) {
  const times = [...new Set([...sentinel.series, ...field.series].map(({ at }) => at))].sort();
  const place = new Map(times.map((at, index) => [at, index + 1]));
  const first = sentinel.series.length < 1000 ? [[0, sentinel.factory]] : []; // of a long history the beginning is left out
  const now = times.length ? [[times.length, sentinel.now]] : []; // what was taken back since is in it
  const reference = [...first, ...sentinel.series.map(({ at, accuracy }) => [place.get(at), accuracy]).filter(([count]) => count < times.length), ...now];
  return [
    { kind: "sentinel", name: text("accuracy.sentinel"), points: reference },
    {
      kind: "field", name: text("accuracy.field"), points: field.series.map(({ at, share }) => [place.get(at), share]),
      band: field.series.map(({ at, low, high }) => [place.get(at), low, high]),
    },
  ];
}

function figure(kind, number, why) {
  return element("div", { class: `figure ${kind}` },
    element("p", { class: "name" }, element("span", { class: "key", "aria-hidden": "true" }), text(`accuracy.${kind}`)),
    element("p", { class: "number", text: number }),
    element("p", { class: "line", text: why }),
  );
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
  const whole = element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
  return element("details", { class: "numbers" },
    element("summary", { text: text("accuracy.table") }),
    element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": text("accuracy.table") }, whole),
  );
}
