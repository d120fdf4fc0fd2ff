// A small line chart in SVG: series of (x, share) over a count, with a grid, direct labels, and the values at the finger.

import { drawn } from "./dom.js";
import { percent } from "./texts.js";

const HEIGHT = 280;
const MARGIN = { top: 18, right: 20, bottom: 50, left: 46 };

// series: [{kind, name, points: [[x, share], …], band: [[x, low, high], …] or none}]; level: {share, name} drawn as a dotted line, or null
export class Chart {
  constructor(series, { level = null, across, summary }) {
    Object.assign(this, { series, level, across });
    this.svg = drawn("svg", { class: "chart", role: "img", "aria-label": summary });
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerdown", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => this.marks.replaceChildren());
    new ResizeObserver(() => this.draw()).observe(this.svg);
  }

  draw() {
    this.width = Math.max(this.svg.clientWidth, 280);
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
    this.scale();
    this.marks = drawn("g", { class: "marks" });
    this.svg.replaceChildren(...this.grid(), ...this.levels(), ...this.series.flatMap((one) => this.shade(one)), ...this.series.flatMap((one) => this.line(one)), this.marks);
  }

  scale() {
    const points = this.series.flatMap((one) => one.points);
    const shares = points.map(([, share]) => share).concat(this.level ? [this.level.share] : []);
    this.last = Math.max(1, ...points.map(([x]) => x));
    [this.low, this.high, this.step] = range(Math.min(...shares), Math.max(...shares));
  }

  x(count) {
    return MARGIN.left + (count / this.last) * (this.width - MARGIN.left - MARGIN.right);
  }

  y(share) {
    return HEIGHT - MARGIN.bottom - ((share - this.low) / (this.high - this.low)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  }

  grid() {
    const parts = [];
    for (let share = this.low; share < this.high + this.step / 2; share += this.step) {
      const y = this.y(share);
      parts.push(drawn("line", { class: "grid", x1: MARGIN.left, x2: this.width - MARGIN.right, y1: y, y2: y }));
      parts.push(drawn("text", { class: "axis", x: MARGIN.left - 8, y: y + 4, "text-anchor": "end", text: percent(share) }));
    }
    for (const count of ticks(this.last)) {
      parts.push(drawn("text", { class: "axis", x: this.x(count), y: HEIGHT - MARGIN.bottom + 20, "text-anchor": "middle", text: count }));
    }
    parts.push(drawn("text", { class: "axis", x: this.width - MARGIN.right, y: HEIGHT - 10, "text-anchor": "end", text: this.across }));
    return parts;
  }

  levels() {
    if (!this.level) return [];
    const y = this.y(this.level.share);
    return [
      drawn("line", { class: "level", x1: MARGIN.left, x2: this.width - MARGIN.right, y1: y, y2: y }),
      drawn("text", { class: "axis", x: MARGIN.left + 4, y: y - 5, text: this.level.name }),
    ];
  }

  shade({ kind, band }) {
    if (!band?.length) return [];
    const edge = [...band.map(([count, low]) => [count, low]), ...[...band].reverse().map(([count, , high]) => [count, high])];
    return [drawn("polygon", { class: `band ${kind}`, points: this.places(edge) })];
  }

  places(points) {
    return points.map(([count, share]) => `${this.x(count).toFixed(1)},${this.y(Math.min(this.high, Math.max(this.low, share))).toFixed(1)}`).join(" ");
  }

  line({ kind, points }) {
    if (!points.length) return [];
    const [count, share] = points.at(-1);
    return [
      drawn("polyline", { class: `series ${kind}`, points: this.places(points) }),
      drawn("circle", { class: `end ${kind}`, cx: this.x(count), cy: this.y(share), r: 4.5 }),
    ];
  }

  // The values of the correction that is nearest to the finger.
  point(event) {
    const box = this.svg.getBoundingClientRect();
    const inner = (event.clientX - box.left) * (this.width / box.width) - MARGIN.left;
    const count = Math.round(Math.min(1, Math.max(0, inner / (this.width - MARGIN.left - MARGIN.right))) * this.last);
    const x = this.x(count);
    const isRight = x > this.width / 2;
    const found = this.series.map((one) => [one, one.points.filter(([at]) => at <= count).at(-1)]).filter(([, at]) => at);
    this.marks.replaceChildren(
      drawn("line", { class: "guide", x1: x, x2: x, y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom }),
      drawn("text", { class: "value", x: x + (isRight ? -8 : 8), y: MARGIN.top + 8, "text-anchor": isRight ? "end" : "start", text: `#${count}` }),
      ...found.flatMap(([one, [, share]], row) => [
        drawn("circle", { class: `end ${one.kind}`, cx: x, cy: this.y(share), r: 4.5 }),
        drawn("text", { class: `value ${one.kind}`, x: x + (isRight ? -8 : 8), y: MARGIN.top + 26 + 18 * row, "text-anchor": isRight ? "end" : "start", text: `${one.name} ${percent(share, 1)}` }),
      ]),
    );
  }
}

// Ends and step of an axis of shares: whole steps around the values, never a zoom that makes a nothing look like much.
export function range(least, most) {
  const span = Math.max(most - least, 0.1);
  const step = [0.02, 0.05, 0.1, 0.2, 0.25].find((size) => span / size <= 5) ?? 0.25;
  let low = Math.max(0, Math.floor((least - 0.01) / step) * step);
  let high = Math.min(1, Math.ceil((most + 0.01) / step) * step);
  if (high - low < 0.1) {
    high = Math.min(1, low + 0.1);
    low = Math.max(0, high - 0.1);
  }
  return [low, high, step];
}

// Whole numbers for the axis of counts, at most six and the last one.
export function ticks(last) {
  const step = [1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000, 2000, 5000].find((size) => last / size <= 6) ?? last;
  const found = [];
  for (let count = 0; count <= last; count += step) found.push(count);
  return found;
}
