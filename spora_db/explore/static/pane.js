// One image of the viewer: pieces of the level that fits, a coarser one below until they come, and lines over it.

import { get, planes } from "./api.js";
import { make } from "./dom.js";
import { Compositor } from "./gl.js";
import { image, shown } from "./images.js";
import { onChange, state } from "./state.js";

const HELD = 384 * 2 ** 20;  // bytes of textures
const AT_ONCE = 6;

export class Pane {
  constructor(key, viewer) {
    this.viewer = viewer;
    this.key = key;
    this.canvas = make("canvas");
    this.over = make("canvas");
    this.title = make("div", { class: "title" });
    this.legend = make("div", { class: "legend" });
    this.where = make("div", { class: "where" });
    this.fault = make("div", { class: "fault" });
    const shut = make("button", { class: "shut", title: "Close this image", onclick: () => viewer.close(key) }, "×");
    shut.setAttribute("aria-label", "Close this image");
    this.box = make("div", { class: "pane" }, this.canvas, this.over, this.title, this.legend, this.where, this.fault, shut);
    this.compositor = new Compositor(this.canvas);
    this.pieces = new Map();  // texture of a plane of a piece, or a promise, by level/row/col/page
    this.held = 0;
    this.asked = 0;
    this.lines = {};
    this.size = new ResizeObserver(() => this.later());
    this.size.observe(this.box);
    this.listen();
    this.ready = image(key).then((found) => {
      this.found = found;
      this.title.textContent = `${found.tissue_id} · ${found.modality} · ${found.height} × ${found.width} · ${found.mpp} µm`;
      this.box.classList.toggle("bright", found.rgb);
      viewer.opened(this);
      this.later();
    }).catch((error) => void (this.fault.textContent = error.message));
    onChange((values) => "markers" in values && this.later());
  }

  end() {
    this.size.disconnect();
    this.gone = true;
    this.compositor.gl.getExtension("WEBGL_lose_context")?.loseContext();
    this.box.remove();
  }

  later() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      if (this.found && !this.gone && this.box.clientWidth) this.draw();
    });
  }

  // pixels of the image on the screen: how many of the canvas one is, and where the first lies
  get view() {
    const { y, x, scale } = this.viewer.at;
    const ratio = devicePixelRatio;
    const zoom = scale * this.found.mpp * ratio;
    const left = this.canvas.width / 2 - (x / this.found.mpp) * zoom;
    const top = this.canvas.height / 2 - (y / this.found.mpp) * zoom;
    const whole = Math.abs(zoom - Math.round(zoom)) < 1e-9;  // pixel on pixel
    return { zoom, left: whole ? Math.round(left) : left, top: whole ? Math.round(top) : top };
  }

  draw() {
    const ratio = devicePixelRatio;
    const [width, height] = [this.box.clientWidth, this.box.clientHeight].map((side) => Math.max(1, Math.round(side * ratio)));
    this.compositor.clear(width, height, this.found.rgb);
    this.wanted = [];
    this.complete = true;
    const channels = this.shown = shown(this.found);
    const levels = this.found.levels;
    const { zoom } = this.view;
    let fit = 0;
    while (fit + 1 < levels.length && levels[fit + 1].factor * zoom <= 1.42) fit += 1;
    for (let level = levels.length - 1; level >= fit; level -= 1) this.drawLevel(level, channels, level === fit || level === levels.length - 1);
    this.paintLines(width, height);
    this.legend.replaceChildren(...(this.found.rgb ? [] : channels.map(({ name, text }) => {
      const item = make("span", {}, name);
      item.style.color = text;
      return item;
    })));
    this.fetch();
  }

  drawLevel(level, channels, ask) {
    const { factor, height, width } = this.found.levels[level];
    const { zoom, left, top } = this.view;
    const side = this.found.tile;
    const step = factor * zoom;
    const first = [Math.max(0, Math.floor(-top / step / side)), Math.max(0, Math.floor(-left / step / side))];
    const last = [
      Math.min(Math.ceil(height / side), Math.ceil((this.canvas.height - top) / step / side)),
      Math.min(Math.ceil(width / side), Math.ceil((this.canvas.width - left) / step / side)),
    ];
    for (let row = first[0]; row < last[0]; row += 1) {
      for (let col = first[1]; col < last[1]; col += 1) {
        const textures = channels.map(({ page }) => this.pieces.get(`${level}/${row}/${col}/${page}`));
        const there = channels.map((channel, k) => textures[k]?.texture && { ...channel, texture: textures[k].texture }).filter(Boolean);
        const missing = channels.filter((_, k) => !textures[k]);
        if (ask && missing.length) this.wanted.push({ level, row, col, pages: missing.map(({ page }) => page) });
        if (ask && there.length < channels.length) this.complete = false;
        if (!there.length || there.length < channels.length && level < this.found.levels.length - 1) continue;
        const size = { height: Math.min(side, height - row * side), width: Math.min(side, width - col * side) };
        this.compositor.draw(there, { left: left + col * side * step, top: top + row * side * step, width: size.width * step, height: size.height * step }, size, this.found.rgb);
        for (const { page } of channels) this.touch(`${level}/${row}/${col}/${page}`);
      }
    }
  }

  touch(name) {
    const piece = this.pieces.get(name);
    if (!piece?.texture) return;
    this.pieces.delete(name);
    this.pieces.set(name, piece);
  }

  // coarse pieces first, then from the middle outwards
  fetch() {
    const middle = ({ level, row, col }) => {
      const { factor } = this.found.levels[level];
      const { zoom, left, top } = this.view;
      const half = this.found.tile / 2;
      return Math.hypot((row * 2 + 1) * half * factor * zoom + top - this.canvas.height / 2, (col * 2 + 1) * half * factor * zoom + left - this.canvas.width / 2);
    };
    this.wanted.sort((a, b) => b.level - a.level || middle(a) - middle(b));
    for (const piece of this.wanted.slice(0, AT_ONCE - this.asked)) this.take(piece);
    this.box.dataset.complete = String(this.complete);
  }

  async take({ level, row, col, pages }) {
    const name = (page) => `${level}/${row}/${col}/${page}`;
    for (const page of pages) this.pieces.set(name(page), { asked: true });
    this.asked += 1;
    try {
      const found = await planes(`api/images/${this.key}/tiles/${level}/${row}/${col}?pages=${pages.join()}&v=${this.found.signature}`);
      if (this.gone) return;
      pages.forEach((page, k) => {
        const texture = this.compositor.texture(found.planes[k], found.width, found.height);
        const size = 4 * found.width * found.height;
        this.pieces.set(name(page), { texture, size });
        this.held += size;
      });
      for (const [old, piece] of this.pieces) {
        if (this.held <= HELD) break;
        if (!piece.texture) continue;
        this.compositor.forget(piece.texture);
        this.held -= piece.size;
        this.pieces.delete(old);
      }
    } catch (error) {
      this.fault.textContent = error.message;
    } finally {
      this.asked -= 1;
      this.later();
    }
  }

  async line(kind) {
    if (!this.lines[kind]) {
      this.lines[kind] = {};
      this.lines[kind] = await get(`api/images/${this.key}/outlines/${kind}`).catch(() => ({}));
      this.later();
    }
    return this.lines[kind];
  }

  paintLines(width, height) {
    if (this.over.width !== width) this.over.width = width;
    if (this.over.height !== height) this.over.height = height;
    const context = this.over.getContext("2d");
    context.clearRect(0, 0, width, height);
    const { zoom, left, top } = this.view;
    const ratio = devicePixelRatio;
    const x = (col) => left + col * zoom;
    const y = (row) => top + row * zoom;
    const ink = this.found.rgb ? "#14213d" : "#ffffff";
    context.lineWidth = ratio;
    for (const kind of ["tiles", "mask", "regions"]) if (state[kind]) this.line(kind);
    if (state.mask && this.lines.mask?.lines) {
      context.strokeStyle = ink;
      context.setLineDash([4 * ratio, 3 * ratio]);
      strokes(context, this.lines.mask.lines, x, y);
      context.setLineDash([]);
    }
    if (state.tiles && this.lines.tiles?.tilings) {
      context.strokeStyle = ink;
      context.globalAlpha = 0.55;
      for (const { size, tiles } of this.lines.tiles.tilings.slice(0, 1)) {
        for (const [row, col] of tiles) context.strokeRect(x(col), y(row), size * zoom, size * zoom);
      }
      context.globalAlpha = 1;
    }
    if (state.regions && this.lines.regions?.regions) {
      context.lineWidth = 2 * ratio;
      for (const { colour, rings } of this.lines.regions.regions) {
        context.strokeStyle = colour ?? "#9aa0a6";
        for (const ring of rings) {
          context.beginPath();
          ring.forEach(([row, col], k) => (k ? context.lineTo(x(col), y(row)) : context.moveTo(x(col), y(row))));
          context.stroke();
        }
      }
    }
    context.lineWidth = 2 * ratio;
    context.strokeStyle = "#f7e01e";
    for (const [row, col, side] of this.viewer.places(this)) context.strokeRect(x(col), y(row), side * zoom, side * zoom);
    if (this.cell?.lines) strokes(context, this.cell.lines, x, y);
    if (this.lasso) {
      context.beginPath();
      this.lasso.forEach(([row, col], k) => (k ? context.lineTo(x(col), y(row)) : context.moveTo(x(col), y(row))));
      context.closePath();
      context.fillStyle = "#f7e01e22";
      context.fill();
      context.stroke();
    }
    scaleBar(context, width, height, zoom / this.found.mpp, ratio, this.found.rgb);
  }

  listen() {
    let last = null;
    const place = (event) => {
      const { zoom, left, top } = this.view;
      const box = this.over.getBoundingClientRect();
      return [((event.clientY - box.top) * devicePixelRatio - top) / zoom, ((event.clientX - box.left) * devicePixelRatio - left) / zoom];
    };
    this.over.addEventListener("pointerdown", (event) => {
      if (!this.found) return;
      this.over.setPointerCapture(event.pointerId);
      last = this.pressed = event;
      if (this.viewer.lassoing || event.shiftKey) this.lasso = [place(event)];
    });
    this.over.addEventListener("pointermove", (event) => {
      if (!this.found) return;
      const [row, col] = place(event);
      this.where.textContent = `row ${Math.floor(row)}, col ${Math.floor(col)}`;
      if (this.lasso) {
        this.lasso.push([row, col]);
        this.later();
      } else if (last) {
        const { at } = this.viewer;
        this.viewer.move({ ...at, y: at.y - (event.clientY - last.clientY) / at.scale, x: at.x - (event.clientX - last.clientX) / at.scale });
        last = event;
      } else this.point(Math.floor(row), Math.floor(col));
    });
    this.over.addEventListener("pointerup", (event) => {
      last = null;
      const { lasso, pressed } = this;
      this.pressed = null;
      if (pressed && !lasso && Math.hypot(event.clientX - pressed.clientX, event.clientY - pressed.clientY) < 3) {
        this.viewer.onclick(this.key, place(event).map(Math.floor), event);
      }
      this.lasso = null;
      if (lasso && lasso.length > 2) this.viewer.lassoed(this, lasso);
      this.later();
    });
    this.over.addEventListener("pointerleave", () => void (this.where.textContent = ""));
    this.over.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (!this.found) return;
      const [row, col] = place(event);
      this.viewer.zoom(Math.exp(-event.deltaY * 0.0015), { y: row * this.found.mpp, x: col * this.found.mpp });
    }, { passive: false });
  }

  point(row, col) {
    clearTimeout(this.pointing);
    const { height, width } = this.found;
    if (row < 0 || col < 0 || row >= height || col >= width) return;
    this.pointing = setTimeout(async () => {
      const cell = await get(`api/images/${this.key}/cells/at?row=${row}&col=${col}`).catch(() => ({}));
      this.cell = cell;
      this.viewer.pointed(cell);
      this.later();
    }, 120);
  }
}

function strokes(context, lines, x, y) {
  context.beginPath();
  for (const [row, col, down, across] of lines) {
    context.moveTo(x(col), y(row));
    context.lineTo(x(across), y(down));
  }
  context.stroke();
}

function scaleBar(context, width, height, perMicron, ratio, bright) {
  const letters = Math.max(11 * ratio, height / 90);
  const goal = width / 5 / perMicron;
  const microns = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000].filter((length) => length <= goal).at(-1) ?? 1;
  const length = microns * perMicron;
  const [right, bottom] = [width - 12 * ratio, height - 12 * ratio];
  context.fillStyle = bright ? "#ffffffcc" : "#000a";
  context.fillRect(right - length - 8 * ratio, bottom - letters - 11 * ratio, length + 16 * ratio, letters + 17 * ratio);
  context.fillStyle = bright ? "#000" : "#fff";
  context.fillRect(right - length, bottom - 3 * ratio, length, 3 * ratio);
  context.font = `${letters}px sans-serif`;
  context.textAlign = "center";
  context.fillText(microns < 1000 ? `${microns} µm` : `${microns / 1000} mm`, right - length / 2, bottom - 8 * ratio);
}
