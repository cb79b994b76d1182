// The pieces of one image: those of the level that fits, a coarser one below until they come; drawn, asked for, forgotten.

import { planes } from "./api.js";
import { AGAIN, learned } from "./images.js";

const HELD = 384 * 2 ** 20;  // bytes of textures
const AT_ONCE = 6;

export class Pieces {
  constructor(found, compositor, { changed, failed }) {
    this.found = found;
    this.compositor = compositor;
    this.changed = changed;
    this.failed = failed;
    this.pieces = new Map();  // texture of a plane of a piece, or a promise, by level/row/col/page
    this.held = 0;
    this.asked = 0;
    this.failing = 0;
    this.complete = false;
  }

  // draws what is there of some channels; the view says how many pixels of the canvas one is, and where the first lies
  draw(view, channels) {
    this.view = view;
    this.wanted = [];
    this.complete = true;
    const { levels } = this.found;
    let fit = 0;
    while (fit + 1 < levels.length && levels[fit + 1].factor * view.zoom <= 1.42) fit += 1;
    const last = levels.length - 1;
    for (let level = last; level >= fit; level -= 1) this.drawLevel(level, channels, level === fit || level === last && !levels[level].made);
    this.making = levels[fit].made && !this.complete;
    // for a made level the server reads all of the image: that is for what is looked at next
    if (this.complete && learned(this.found) && fit < last && levels[last].made) this.want(last, channels);
    this.fetch();
  }

  // the pieces of a level that are seen
  *seen(level) {
    const { factor, height, width } = this.found.levels[level];
    const { zoom, left, top } = this.view;
    const { canvas } = this.compositor;
    const side = this.found.tile;
    const step = factor * zoom;
    const first = [Math.max(0, Math.floor(-top / step / side)), Math.max(0, Math.floor(-left / step / side))];
    const last = [
      Math.min(Math.ceil(height / side), Math.ceil((canvas.height - top) / step / side)),
      Math.min(Math.ceil(width / side), Math.ceil((canvas.width - left) / step / side)),
    ];
    for (let row = first[0]; row < last[0]; row += 1) {
      for (let col = first[1]; col < last[1]; col += 1) yield [row, col];
    }
  }

  want(level, channels) {
    for (const [row, col] of this.seen(level)) {
      const pages = channels.map(({ page }) => page).filter((page) => !this.pieces.has(`${level}/${row}/${col}/${page}`));
      if (pages.length) this.wanted.push({ level, row, col, pages });
    }
  }

  drawLevel(level, channels, ask) {
    const { factor, height, width } = this.found.levels[level];
    const { zoom, left, top } = this.view;
    const side = this.found.tile;
    const step = factor * zoom;
    if (ask) this.want(level, channels);
    for (const [row, col] of this.seen(level)) {
      const there = channels.map((channel) => ({ ...channel, ...this.pieces.get(`${level}/${row}/${col}/${channel.page}`) })).filter(({ texture }) => texture);
      if (ask && there.length < channels.length) this.complete = false;
      if (!there.length || there.length < channels.length && level < this.found.levels.length - 1) continue;
      const size = { height: Math.min(side, height - row * side), width: Math.min(side, width - col * side) };
      this.compositor.draw(there, { left: left + col * side * step, top: top + row * side * step, width: size.width * step, height: size.height * step }, size, this.found.rgb);
      for (const { page } of channels) this.touch(`${level}/${row}/${col}/${page}`);
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
      const { canvas } = this.compositor;
      const half = this.found.tile / 2;
      return Math.hypot((row * 2 + 1) * half * factor * zoom + top - canvas.height / 2, (col * 2 + 1) * half * factor * zoom + left - canvas.width / 2);
    };
    this.wanted.sort((a, b) => b.level - a.level || middle(a) - middle(b));
    for (const piece of this.wanted.slice(0, AT_ONCE - this.asked)) this.take(piece);
  }

  async take({ level, row, col, pages }) {
    const name = (page) => `${level}/${row}/${col}/${page}`;
    for (const page of pages) this.pieces.set(name(page), { asked: true });
    this.asked += 1;
    try {
      const found = await planes(`api/images/${this.found.key}/tiles/${level}/${row}/${col}?pages=${pages.join()}&v=${this.found.signature}`);
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
      this.failing += 1;
      this.failed(error.message);
      setTimeout(() => {
        for (const page of pages) this.pieces.delete(name(page));
        this.failing -= 1;
        if (!this.failing) this.failed("");
        this.changed();
      }, AGAIN);
    } finally {
      this.asked -= 1;
      this.changed();
    }
  }

  // all that has come: it is asked for again when it is drawn
  forget() {
    for (const [name, { asked, texture }] of this.pieces) {
      if (asked) continue;
      this.compositor.forget(texture);
      this.pieces.delete(name);
    }
    this.held = 0;
  }

  end() {
    this.gone = true;
    this.forget();
  }
}
