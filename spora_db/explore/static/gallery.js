// The gallery: a picture of every row of the answer, as strips of which only those seen exist.

import { bytes, headed } from "./api.js";
import { make } from "./dom.js";
import { Compositor, rgb } from "./gl.js";
import { AGAIN, image, learned, limitsOf, shownMarkers } from "./images.js";
import { pick, rows } from "./rows.js";
import { Scroller } from "./scrolling.js";
import { change, onChange, state } from "./state.js";

const GAP = 4;
const KEPT = 600;  // pictures, and at least three screens of them
const AT_ONCE = 2;

export class Gallery {
  constructor(box, { onopen, onmarked, batch }) {
    this.box = box;
    this.onopen = onopen;
    this.onmarked = onmarked;
    this.batch = batch;
    this.scroll = make("div", { class: "scroll", tabIndex: 0, onkeydown: (event) => this.key(event) });
    this.caption = make("div", { class: "caption" });
    this.empty = make("p", { class: "empty" });
    this.sizes = make("input", { type: "range", min: "48", max: "256", step: "16", value: String(state.size), title: "Size of the pictures", oninput: () => change({ size: Number(this.sizes.value) }) });
    this.sizes.setAttribute("aria-label", "Size of the pictures");
    box.append(this.scroll, this.caption, this.empty, make("div", { class: "sizes" }, this.sizes));
    this.asking = 0;
    this.scroller = new Scroller(this.scroll, { height: state.size + GAP, draw: (...where) => this.draw(...where) });
    this.thumbs = new Map();
    this.strips = new Map();
    this.waiting = new Map();
    this.current = 0;
    rows.onAnswer(() => {
      this.current = 0;
      this.fill();
    });
    new ResizeObserver(() => this.layout()).observe(this.scroll);
    onChange((values) => {
      if ("size" in values) this.fill();
      if ("modality" in values) this.fill();
      if ("markers" in values || "picked" in values) this.markersChanged();
    });
  }

  // made once pictures are seen: the page is there sooner without
  get compositor() {
    return (this.drawing ??= new Compositor(document.createElement("canvas"), () => this.forget()));
  }

  get usable() {
    return rows.index("dataset") >= 0 && rows.index("tissue_id") >= 0;
  }

  fill() {
    this.forget();
    this.empty.hidden = Boolean(rows.id && this.usable && rows.total);
    this.empty.textContent = rows.id && !rows.all ? "The answer has no rows." : "Run a query whose rows have dataset and tissue_id to see their pictures.";
    this.layout();
    this.begin();
  }

  // the first image of the answer says which channels are shown, where none was chosen
  begin() {
    this.begun = shownMarkers().length > 0;
    if (!this.usable || this.begun) return;
    const row = rows.at(0, () => this.begin());
    if (!row || document.body.dataset.view !== "gallery") return;
    this.onopen(row, { only: true }).finally(() => {
      this.begun = true;
      this.scroller.later();
    });
  }

  layout() {
    const width = Math.max(1, this.scroll.clientWidth);
    this.across = Math.max(1, Math.floor((width + GAP) / (state.size + GAP)));
    this.caption.textContent = "";  // the pointer does not leave a strip that is taken away
    for (const strip of this.strips.values()) strip.canvas.remove();
    this.strips.clear();
    this.scroller.resize(this.usable ? Math.ceil(rows.total / this.across) : 0, state.size + GAP);
  }

  markersChanged() {
    const names = shownMarkers().map(([marker]) => marker).join();
    if (names !== this.names) {
      this.names = names;
      this.forget();
    }
    this.stale();
  }

  draw(first, last, top) {
    if (!this.usable || document.body.dataset.view !== "gallery") return;
    for (const [number, strip] of this.strips) {
      if (number < first || number >= last) {
        strip.canvas.remove();
        this.strips.delete(number);
      }
    }
    for (let number = first; number < last; number += 1) {
      let strip = this.strips.get(number);
      if (!strip) {
        const canvas = make("canvas", { class: "strip", onclick: (event) => this.clicked(number, event), onmousemove: (event) => this.pointed(number, event), onmouseleave: () => void (this.caption.textContent = "") });
        canvas.ondblclick = (event) => this.opened(number, event);
        canvas.width = this.across * (state.size + GAP) - GAP;
        canvas.height = state.size;
        this.scroller.spacer.append(canvas);
        strip = { canvas, stale: true };
        this.strips.set(number, strip);
      }
      strip.canvas.style.transform = `translateY(${top(number)}px)`;
      if (strip.stale) this.paint(number, strip);
    }
    const marked = [...this.thumbs.values()].find(({ found }) => found && !found.rgb);
    if (marked) this.onmarked(marked.found);
    this.ask();
  }

  paint(number, strip) {
    strip.stale = false;
    const context = strip.canvas.getContext("2d");
    context.clearRect(0, 0, strip.canvas.width, strip.canvas.height);
    const picked = new Set(state.picked);
    for (let k = 0; k < this.across; k += 1) {
      const place = number * this.across + k;
      if (place >= rows.total) break;
      const row = rows.at(place, () => { strip.stale = true; this.scroller.later(); });
      const left = k * (state.size + GAP);
      context.fillStyle = "#8883";
      context.fillRect(left, 0, state.size, state.size);
      if (!row) continue;
      const thumb = this.thumbs.get(row.number);
      if (!thumb) this.waiting.set(row.number, number);
      else if (thumb.found && !this.compositor.lost && (learned(thumb.found) || thumb.found.fault)) this.composite(context, left, thumb);
      else if (thumb.error) {
        context.fillStyle = "#888";
        context.font = "11px sans-serif";
        context.fillText("no picture", left + 6, state.size / 2);
      }
      if (picked.has(row.number) || place === this.current && document.activeElement === this.scroll) {
        context.strokeStyle = picked.has(row.number) ? "#f7e01e" : "#4c8dff";
        context.lineWidth = 3;
        context.strokeRect(left + 1.5, 1.5, state.size - 3, state.size - 3);
      }
    }
  }

  composite(context, left, thumb) {
    const side = thumb.side;
    this.compositor.clear(side, side, thumb.found.rgb);
    const channels = thumb.found.rgb ? thumb.found.shown.map((one, k) => ({ texture: thumb.textures[k], colour: rgb(one.colour), limits: this.limits(thumb, one) }))
      : shownMarkers().map(([marker, { colour }], k) => {
        const channel = thumb.found.channels.find((one) => one.marker === marker);
        return channel && { texture: thumb.textures[k], colour: rgb(colour), limits: this.limits(thumb, channel) };
      }).filter(Boolean);
    this.compositor.draw(channels, { left: 0, top: 0, width: side, height: side }, { width: side, height: side }, thumb.found.rgb);
    context.drawImage(this.compositor.canvas, 0, 0, side, side, left, 0, state.size, state.size);
  }

  limits(thumb, channel) {
    const [low, high, gamma] = limitsOf(thumb.found, channel);
    return [low / thumb.scale, high / thumb.scale, gamma];
  }

  // pictures that are seen and not there yet, a batch at a time
  async ask() {
    if (this.asking >= AT_ONCE || !this.waiting.size || !this.begun) return;
    const names = shownMarkers().map(([, marker]) => marker.name);
    const markers = names.length ? names : ["-"];
    const wanted = [...this.waiting].filter(([, strip]) => this.strips.has(strip)).slice(0, this.batch);
    this.waiting.clear();
    if (!wanted.length) return;
    for (const [number] of wanted) this.thumbs.set(number, { asked: true });
    this.asking += 1;
    const side = Math.min(192, Math.max(16, state.size));
    const asked = wanted.map(([number]) => number);
    const at = this.names;
    try {
      const { id } = rows;
      const content = await bytes("api/thumbs", { query: id, rows: asked, markers, size: side, modality: state.modality || null });
      const { head, start } = headed(content);
      const images = await Promise.all(head.rows.map(({ key }) => (key ? image(key).catch(() => null) : null)));
      if (id !== rows.id || at !== this.names) return;  // the first image of a panel brings its markers
      this.take(head, images, new Uint16Array(content, start), asked, side);
    } catch (error) {
      for (const number of asked) this.thumbs.set(number, { error: error.message });
      setTimeout(() => {
        for (const number of asked) if (this.thumbs.get(number)?.error) this.thumbs.delete(number);
        this.stale();
      }, AGAIN);
    } finally {
      this.asking -= 1;
      this.stale();
    }
  }

  // no picture is there; those that are seen are asked for again
  forget() {
    for (const thumb of this.thumbs.values()) this.release(thumb);
    this.thumbs.clear();
    this.waiting.clear();
    this.stale();
  }

  // all pictures that are seen are drawn again
  stale() {
    for (const strip of this.strips.values()) strip.stale = true;
    this.scroller.later();
  }

  take(head, images, values, asked, side) {
    const [, planes] = head.shape;
    head.rows.forEach((told, k) => {
      const thumb = told.error ? { error: told.error } : { ...told, side };
      if (told.key) {
        thumb.found = images[k];
        if (!thumb.found) thumb.error = "no picture";
        else thumb.textures = Array.from({ length: planes }, (_, p) => {
          const start = (k * planes + p) * side * side;
          return this.compositor.texture(values.slice(start, start + side * side), side, side);
        });
      }
      this.thumbs.set(asked[k], thumb);
    });
    for (const [number, thumb] of this.thumbs) {
      if (this.thumbs.size <= Math.max(KEPT, 3 * this.strips.size * this.across)) break;
      this.release(thumb);
      this.thumbs.delete(number);
    }
  }

  release(thumb) {
    for (const texture of thumb.textures ?? []) this.compositor.forget(texture);
  }

  placeAt(number, event) {
    return number * this.across + Math.min(this.across - 1, Math.floor(event.offsetX / (state.size + GAP)));
  }

  clicked(number, event) {
    const place = this.placeAt(number, event);
    const row = rows.at(place);
    this.current = place;
    if (row) pick(place, row.number, event);
  }

  opened(number, event) {
    const row = rows.at(this.placeAt(number, event));
    if (row) this.onopen(row);
  }

  pointed(number, event) {
    const row = rows.at(this.placeAt(number, event));
    const parts = row ? ["tissue_id", "tile_id", "cell_id", "cell_type", "region_class"].map((name) => [name, rows.value(row, name)]) : [];
    const error = row && this.thumbs.get(row.number)?.error;
    this.caption.textContent = parts.filter(([, value]) => value).map(([name, value]) => (name === "tissue_id" ? value : `${name.replace("_id", "")} ${value}`)).join(" · ") + (error ? ` · ${error}` : "");
  }

  key(event) {
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.across, ArrowUp: -this.across, Home: -Infinity, End: Infinity };
    const row = rows.at(this.current);
    if (event.key in steps) this.current = Math.max(0, Math.min(rows.total - 1, this.current + steps[event.key]));
    else if (event.key === " " && row) pick(this.current, row.number, { ctrlKey: true });
    else if (event.key === "Enter" && row) this.onopen(row);
    else return;
    event.preventDefault();
    for (const strip of this.strips.values()) strip.stale = true;
    this.scroller.show(Math.floor(this.current / this.across));
    this.scroller.later();
  }
}
