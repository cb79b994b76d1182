// Scrolling through any number of rows with few elements: those that are seen, and a spacer that browsers can hold.

const TALLEST = 8_000_000;  // pixels; browsers end at 17 or 33 millions

export class Scroller {
  constructor(box, { height, draw }) {
    this.box = box;
    this.height = height;
    this.draw = draw;
    this.count = 0;
    this.spacer = document.createElement("div");
    this.spacer.className = "spacer";
    box.append(this.spacer);
    box.addEventListener("scroll", () => this.later());
    new ResizeObserver(() => this.later()).observe(box);
  }

  resize(count, height = this.height) {
    this.count = count;
    this.height = height;
    this.whole = count * height;
    this.spacer.style.height = `${Math.min(this.whole, TALLEST)}px`;
    this.later();
  }

  later() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.now();
    });
  }

  // where the first seen pixel is in all rows, however tall the spacer is
  get top() {
    const room = this.box.clientHeight;
    const tall = Math.min(this.whole || 0, TALLEST);
    if (tall <= room || this.whole <= TALLEST) return this.box.scrollTop;
    return (this.box.scrollTop / (tall - room)) * (this.whole - room);
  }

  now() {
    const top = this.top;
    const drawn = this.box.scrollTop - top;  // asked for once: after an element was moved, each such question is a layout
    const first = Math.max(0, Math.floor(top / this.height) - 2);
    const last = Math.min(this.count, Math.ceil((top + this.box.clientHeight) / this.height) + 2);
    this.draw(first, last, (row) => drawn + row * this.height);
  }

  show(row) {
    const top = row * this.height;
    const room = this.box.clientHeight;
    if (top >= this.top && top + this.height <= this.top + room) return;
    const wanted = Math.max(0, Math.min(this.whole - room, top - room / 2));
    const tall = Math.min(this.whole, TALLEST);
    this.box.scrollTop = this.whole <= TALLEST ? wanted : (wanted / (this.whole - room)) * (tall - room);
    this.later();
  }
}
