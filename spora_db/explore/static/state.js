// What the page shows, as one value: it is kept in the fragment of the address, so that the address gives the same page.

export const state = {
  sql: "", view: "table", images: [], at: null, markers: {}, tiles: false, mask: false, regions: false, beneath: false, opacity: 0.8,
  picked: [], theme: "", size: 96, modality: "", near: null, scatter: { x: "", y: "", by: "" },
};
const listeners = [];
let waiting = 0;
let lasting = false;  // in a notebook, the address is not ours

export function restore() {
  lasting = true;
  const text = new URLSearchParams(location.hash.slice(1)).get("s");
  if (!text) return;
  try {
    const told = JSON.parse(text);
    for (const name of Object.keys(state)) if (name in told && typeof told[name] === typeof state[name]) state[name] = told[name];
    if (told.near?.row) state.near = told.near;
    if (told.at && ["y", "x", "scale"].every((name) => Number.isFinite(told.at[name]))) state.at = told.at;
  } catch {
    // an address that somebody cut short: the page begins anew
  }
}

export function change(values) {
  Object.assign(state, values);
  for (const listener of listeners) listener(values);
  remember();
}

export function remember() {
  clearTimeout(waiting);
  if (lasting) waiting = setTimeout(write, 150);
}

export function write() {
  clearTimeout(waiting);
  history.replaceState(null, "", `#s=${encodeURIComponent(JSON.stringify({ ...state, picked: state.picked.slice(0, 200) }))}`);
}

export const onChange = (listener) => void listeners.push(listener);
