// Images by key with their contrast, asked for once; and how each marker is shown, the same in every panel.

import { get } from "./api.js";
import { CHANNELS, rgb } from "./gl.js";
import { change, state } from "./state.js";

const known = new Map();
let palette = [];
export const AGAIN = 5_000;  // milliseconds after which what failed is asked for again
export const setPalette = (colours) => void (palette = colours);

// an image, whose limits by page come while its pieces do; rejected promises are not kept
export function image(key) {
  if (!known.has(key)) {
    const asked = get(`api/images/${key}`).then((found) => {
      Object.assign(found, { limits: new Map(), unasked: [] });
      found.kind = `${found.dataset}/${found.modality}`;
      for (const channel of found.channels) channel.marker = markerOf(channel);
      begin(found);
      learn(found, found.rgb ? found.shown : found.channels.filter(({ marker }) => state.markers[marker]?.on).slice(0, CHANNELS));
      return found;
    });
    asked.catch(() => known.delete(key));
    known.set(key, asked);
  }
  return known.get(key);
}

// the names of images that stand together, which tell those of two cohorts apart where they share one
export function namesOf(images) {
  const names = images.map((one) => `${one.tissue_id} · ${one.modality}`), once = new Set(), twice = new Set();
  for (const name of names) (once.has(name) ? twice : once).add(name);
  return names.map((name, at) => twice.has(name) ? `${name} · ${images[at].dataset}, ${images[at].mpp} µm per pixel` : name);
}

// learns how channels are shown at first, of all that are drawn at once by one request
function learn(found, channels) {
  const pages = channels.map(({ page }) => page).filter((page) => !found.limits.has(page));
  for (const page of pages) found.limits.set(page, null);
  if (pages.length && !found.unasked.length) found.learning = Promise.resolve().then(() => ask(found));
  found.unasked.push(...pages);
}

// all is drawn again once limits are known, or why they are not; those are forgotten, so that who draws them asks again
async function ask(found) {
  const pages = found.unasked.splice(0);
  try {
    const { limits } = await get(`api/images/${found.key}/limits?pages=${pages.join()}`);
    for (const limit of limits) found.limits.set(limit.page, limit);
    found.fault = "";
  } catch (error) {
    found.fault = error.message;
    setTimeout(() => {
      for (const page of pages) found.limits.delete(page);
      change({ markers: state.markers });
    }, AGAIN);
  }
  change({ markers: state.markers });
}

// whether all limits that are asked for have come
export const learned = (found) => [...found.limits.values()].every(Boolean);

// one protein is one marker in all panels: by accession without isoform, else by name
export function markerOf(channel) {
  return channel.uniprot ? channel.uniprot.split("-")[0] : channel.name.toLowerCase().replace(/[-_ ]/g, "");
}

// what is shown of an image that nobody has chosen channels for
function begin(found) {
  if (found.rgb || found.channels.some((channel) => state.markers[channel.marker]?.on)) return;
  const markers = { ...state.markers };
  for (const { page, colour } of found.shown) {
    const channel = found.channels.find((one) => one.page === page);
    markers[channel.marker] = { on: true, colour, contrast: {}, ...markers[channel.marker], name: channel.name };
    markers[channel.marker].on = true;
  }
  change({ markers });
}

export const shownMarkers = () => Object.entries(state.markers).filter(([, marker]) => marker.on);

// the channels of an image that are shown: page, colour, limits
export function shown(found) {
  if (found.rgb) {
    return found.shown.map(({ page, colour }) => ({ page, name: "", colour: rgb(colour), limits: limitsOf(found, { page }) }));
  }
  return found.channels
    .filter((channel) => state.markers[channel.marker]?.on)
    .slice(0, CHANNELS)
    .map((channel) => ({
      page: channel.page, name: channel.name, text: state.markers[channel.marker].colour,
      colour: rgb(state.markers[channel.marker].colour), limits: limitsOf(found, channel),
    }));
}

export function limitsOf(found, channel) {
  const own = state.markers[channel.marker]?.contrast?.[found.kind];
  if (own) return own;
  const first = found.limits.get(channel.page);
  if (first === undefined) learn(found, [channel]);
  return first ? [first.low, first.high, first.gamma] : [0, 0, 1];
}

export function setLimits(found, channel, limits) {
  const marker = state.markers[channel.marker] ?? { on: false, colour: "#ffffff", contrast: {}, name: channel.name };
  const contrast = { ...marker.contrast, [found.kind]: limits };
  if (!limits) delete contrast[found.kind];
  change({ markers: { ...state.markers, [channel.marker]: { ...marker, contrast } } });
}

export function setColour(channel, colour) {
  const marker = state.markers[channel.marker] ?? { on: false, contrast: {}, name: channel.name };
  change({ markers: { ...state.markers, [channel.marker]: { ...marker, colour } } });
}

// switches a marker; false where eight are shown already
export function toggle(channel, on) {
  if (on && shownMarkers().length >= CHANNELS) return false;
  const taken = new Set(shownMarkers().map(([, marker]) => marker.colour));
  const free = palette.find((colour) => !taken.has(colour)) ?? "#ffffff";
  const before = state.markers[channel.marker];
  const colour = before && !taken.has(before.colour) ? before.colour : free;
  const marker = { contrast: {}, ...before, name: channel.name, colour: on ? colour : before?.colour ?? free, on };
  change({ markers: { ...state.markers, [channel.marker]: marker } });
  return true;
}
