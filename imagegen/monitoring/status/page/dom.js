// Builds elements. What servers say becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function shape(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

// Replaces what a section holds, and keeps the focus and what is open: sections change while
// somebody reads or types.
export function replace(place, ...children) {
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const open = [...place.querySelectorAll("details[open]")].map((each) => each.dataset.key);
  place.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  for (const each of place.querySelectorAll("details")) each.open = open.includes(each.dataset.key);
  if (focused) place.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

let aheadMs = 0;

// The server's clock counts, since all times are its own.
export function setServerTime(iso) {
  aheadMs = Date.parse(iso) - Date.now();
}

function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (whole >= 2 * size) return `${Math.floor(whole / size)} ${unit}`;
  }
  return `${whole} s`;
}

export function age(iso) {
  return span((Date.now() + aheadMs - Date.parse(iso)) / 1000);
}

// The age of something, which counts up by itself.
export function since(iso, after = "") {
  if (!iso) return element("span", {}, "–");
  const node = element("time", { datetime: iso, title: new Date(iso).toLocaleString(), "data-after": after });
  node.textContent = age(iso) + after;
  return node;
}

setInterval(() => {
  for (const node of document.querySelectorAll("time[data-after]")) {
    const text = age(node.dateTime) + node.dataset.after;
    if (node.textContent !== text) node.textContent = text;
  }
}, 1000);

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  return value < 10 ? `${value.toFixed(1)} s` : span(value);
}
