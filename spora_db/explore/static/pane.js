// One image of the viewer: pieces of the level that fits, a coarser one below until they come, and lines over it.

import { get } from "./api.js";
import { make } from "./dom.js";
import { Compositor, LOST } from "./gl.js";
import { image, learned, shown } from "./images.js";
import { Pieces } from "./pieces.js";
import { state } from "./state.js";

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
    this.compositor = new Compositor(this.canvas, () => {
      for (const pieces of [this.pieces, this.beneath]) pieces?.forget();
      this.later();
    });
    this.lines = {};
    this.size = new ResizeObserver(() => this.later());
    this.size.observe(this.box);
    this.listen();
    this.ready = image(key).then((found) => {
      this.found = found;
      this.pieces = this.pieced(found);
      this.title.textContent = `${found.tissue_id} · ${found.modality} · ${found.height} × ${found.width} · ${found.mpp} µm · ${found.dataset}`;
      this.title.title = this.title.textContent;
      this.box.classList.toggle("bright", found.rgb);
      viewer.redraw();  // what is seen as a whole may be larger now
    }).catch((error) => void (this.fault.textContent = error.message));
  }

  pieced(found) {
    return new Pieces(found, this.compositor, { changed: () => this.later(), failed: (message) => void (this.fault.textContent = message) });
  }

  // the image in natural colours that lies beneath the channels, where that is wanted and the tissue has one
  get under() {
    if (!state.beneath || this.found.rgb) return null;
    this.finding ??= this.viewer.bright(this.found).then((found) => {
      if (found && !this.gone) this.beneath = this.pieced(found);
    }).catch((error) => void (this.fault.textContent = error.message)).then(() => {
      this.sought = true;
      this.later();
    });
    return this.beneath ?? null;
  }

  end() {
    this.size.disconnect();
    this.gone = true;
    for (const pieces of [this.pieces, this.beneath]) pieces?.end();
    this.compositor.gl.getExtension("WEBGL_lose_context")?.loseContext();
    this.box.remove();
  }

  later() {
    this.box.dataset.complete = "false";  // until it is drawn
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
    const fault = this.compositor.lost ? LOST : this.found.fault;
    if (fault || this.faulty) this.fault.textContent = fault;
    this.faulty = Boolean(fault);
    if (this.compositor.lost) return;
    const ratio = devicePixelRatio;
    const [width, height] = [this.box.clientWidth, this.box.clientHeight].map((side) => Math.max(1, Math.round(side * ratio)));
    this.compositor.clear(width, height, this.found.rgb);
    const channels = this.shown = shown(this.found);
    const { under, view } = this;
    if (under) {
      this.compositor.clear(width, height, true);
      under.draw({ ...view, zoom: (view.zoom * under.found.mpp) / this.found.mpp }, shown(under.found));
      this.compositor.apart();
    }
    this.pieces.draw(view, channels);
    if (under) this.compositor.lay(state.opacity);
    const sought = this.found.rgb || !state.beneath || this.sought === true;
    this.complete = sought && this.pieces.complete && (under?.complete ?? true) && [this.found, under?.found].every((one) => !one || learned(one));
    this.box.dataset.making = String(this.pieces.making);
    this.paintLines(width, height);
    this.legend.replaceChildren(...(this.found.rgb ? [] : channels.map(({ name, text }) => {
      const item = make("span", {}, name);
      item.style.color = text;
      return item;
    })));
    this.box.dataset.complete = String(this.complete);
  }

  async line(kind) {
    if (!this.lines[kind]) {
      this.lines[kind] = { asked: true };
      try {
        this.lines[kind] = await get(`api/images/${this.key}/outlines/${kind}`);
        this.viewer.lacking(kind);
      } catch (error) {
        this.lines[kind] = { fault: error.message };
        this.viewer.tell(error.message, true);
      }
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
    const bright = this.found.rgb || Boolean(this.under);
    const ink = bright ? "#14213d" : "#ffffff";
    context.lineWidth = ratio;
    for (const kind of ["tiles", "mask", "regions"]) {
      if (state[kind]) this.line(kind);
      else if (this.lines[kind]?.fault) delete this.lines[kind];  // it is asked for again
    }
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
    scaleBar(context, width, height, zoom / this.found.mpp, ratio, bright);
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
      if (this.viewer.lassoing || (this.viewer.onlasso && event.shiftKey)) this.lasso = [place(event)];
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
