// Making elements: texts are texts, never markup.

export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// a text to be copied, with its button
export function copied(text) {
  const copy = make("button", { onclick: () => navigator.clipboard.writeText(text).then(() => void (copy.textContent = "Copied")) }, "Copy");
  return [make("pre", { class: "mono" }, text), copy];
}

export const byId = (name) => document.getElementById(name);

export const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

// a number in few digits
export function brief(value) {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-3)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}
