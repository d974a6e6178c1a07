// Two small charts of the last hours as SVG: how many pictures, and how long they took.

import { element, seconds, shape } from "./dom.js";

const WIDTH = 360;
const HEIGHT = 96;
const FOOT = 16;

function columns(chart) {
  const count = (chart.hours * 3600) / chart.bucket_s;
  const last = Math.floor(Date.now() / 1000 / chart.bucket_s) * chart.bucket_s;
  const known = new Map(chart.buckets.map((each) => [each.bucket, each]));
  return Array.from({ length: count }, (_, index) => {
    const at = last - (count - 1 - index) * chart.bucket_s;
    return { at, ...known.get(at) };
  });
}

function hour(at) {
  return new Date(at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

function frame(title, words, shapes, all, top) {
  const ends = [
    shape("text", { x: 0, y: HEIGHT + FOOT - 3, class: "tick" }, hour(all[0].at)),
    shape("text", { x: WIDTH, y: HEIGHT + FOOT - 3, class: "tick", "text-anchor": "end" }, "now"),
    shape("text", { x: 0, y: 10, class: "tick" }, top),
    shape("line", { x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5, class: "axis" }),
  ];
  const drawing = shape(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT + FOOT}`, role: "img", "aria-label": words },
    ...shapes,
    ...ends,
  );
  return element("figure", {}, element("figcaption", {}, ...title), drawing);
}

function key(name, text) {
  return element("span", { class: `key ${name}` }, text);
}

export function counts(chart) {
  const all = columns(chart);
  const most = Math.max(1, ...all.map((each) => (each.delivered ?? 0) + (each.failed ?? 0)));
  const step = WIDTH / all.length;
  const scale = (HEIGHT - 16) / most;
  const shapes = all.flatMap((each, index) => {
    const delivered = (each.delivered ?? 0) * scale;
    const failed = (each.failed ?? 0) * scale;
    const place = { x: index * step + 1, width: step - 2, rx: 1.5 };
    return [
      delivered && shape("rect", { ...place, y: HEIGHT - delivered, height: delivered, class: "delivered" }),
      failed && shape("rect", { ...place, y: HEIGHT - delivered - failed, height: failed, class: "failed" }),
    ].filter(Boolean);
  });
  const sum = (name) => all.reduce((total, each) => total + (each[name] ?? 0), 0);
  const words = `${sum("delivered")} pictures delivered and ${sum("failed")} failed or too late in ${chart.hours} hours, at most ${most} in a quarter of an hour`;
  return frame([key("delivered", "delivered"), key("failed", "failed or too late")], words, shapes, all, `${most} in 15 min`);
}

function line(all, name, scale) {
  const step = WIDTH / all.length;
  const points = all.map((each, index) => [each[name], (index + 0.5) * step]).filter(([value]) => value !== null && value !== undefined);
  const dots = points.map(([value, x]) => shape("circle", { cx: x, cy: HEIGHT - value * scale, r: 2.2, class: name }));
  const path = points.map(([value, x], index) => `${index ? "L" : "M"}${x.toFixed(1)} ${(HEIGHT - value * scale).toFixed(1)}`).join("");
  return [shape("path", { d: path, class: name }), ...dots];
}

export function times(chart, goalS) {
  const all = columns(chart);
  const longest = Math.max(goalS * 1.1, ...all.map((each) => each.p95_s ?? 0));
  const scale = (HEIGHT - 16) / longest;
  const goal = HEIGHT - goalS * scale;
  const shapes = [
    shape("line", { x1: 0, x2: WIDTH, y1: goal, y2: goal, class: "goal" }),
    ...line(all, "median_s", scale),
    ...line(all, "p95_s", scale),
  ];
  const worst = Math.max(0, ...all.map((each) => each.p95_s ?? 0));
  const words = `From message to picture: the slowest twentieth took up to ${seconds(worst)}; ${goalS} seconds are aimed at`;
  const title = [key("median_s", "half within"), key("p95_s", "95 % within"), key("goal", `${goalS} s`)];
  return frame(title, words, shapes, all, seconds(longest));
}
