// Elements made and filled; text is always text, never markup.

const SVG = "http://www.w3.org/2000/svg";

export const find = (id) => document.getElementById(id);

// element("button", { class: "x", text: "…", on: { click } , "aria-label": "…" }, child, …); null and false leave an attribute out.
export function element(tag, properties = {}, ...children) {
  return filled(document.createElement(tag), properties, children);
}

export function drawn(tag, properties = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), properties, children);
}

export function icon(name) {
  return drawn("svg", { class: "icon", "aria-hidden": "true" }, drawn("use", { href: `assets/icons.svg#${name}` }));
}

export function button(kind, words, onClick, picture = null) {
  return element("button", { type: "button", class: kind, on: { click: onClick } }, picture && icon(picture), element("span", { text: words }));
}

function filled(node, { text, on = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  for (const [name, listener] of Object.entries(on)) node.addEventListener(name, listener);
  if (text !== undefined) node.textContent = text;
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}
