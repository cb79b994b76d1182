// The panel of channels: which are shown, in which colour, with which contrast; what is set holds for every panel.

import { get } from "./api.js";
import { brief, make } from "./dom.js";
import { image, limitsOf, setColour, setLimits, toggle } from "./images.js";
import { onChange, state } from "./state.js";

export class Channels {
  constructor(box, { onfull }) {
    this.box = box;
    this.onfull = onfull;
    this.filter = make("input", { type: "search", placeholder: "Find a channel", oninput: () => this.fill() });
    this.filter.setAttribute("aria-label", "Find a channel");
    this.list = make("div");
    box.append(this.filter, this.list);
    this.histograms = new Map();
    onChange((values) => {
      if ("images" in values || values.view === "viewer") this.show(state.images[0]);
      if ("markers" in values) this.refresh();
    });
  }

  async show(key) {
    if (!key) return;
    this.found = await image(key).catch(() => null);
    this.fill();
  }

  // the gallery has an image with channels, while the one shown is in natural colours
  offer({ key }) {
    if (this.found?.rgb) this.show(key);
  }

  // on first, then in the order of the panel
  fill() {
    const words = this.filter.value.toLowerCase();
    this.filter.hidden = !this.found || this.found.rgb;
    if (!this.found) return void this.list.replaceChildren(make("p", { class: "faint" }, "Open an image to choose its channels."));
    if (this.found.rgb) return void this.list.replaceChildren(make("p", { class: "faint" }, "An image in natural colours."));
    const channels = this.found.channels.filter(({ name, uniprot }) => `${name} ${uniprot ?? ""}`.toLowerCase().includes(words));
    this.order = this.found.channels.filter(({ marker }) => state.markers[marker]?.on);
    this.list.replaceChildren(...channels.map((channel) => this.line(channel)));
    this.signature = this.order.map(({ marker }) => marker).join();
  }

  refresh() {
    if (!this.found || this.found.rgb) return;
    const now = this.found.channels.filter(({ marker }) => state.markers[marker]?.on).map(({ marker }) => marker).join();
    if (now !== this.signature) return this.fill();
    for (const paint of this.list.querySelectorAll("canvas")) paint.repaint?.();
  }

  line(channel) {
    const marker = state.markers[channel.marker];
    const on = Boolean(marker?.on);
    const number = this.order.findIndex((one) => one.marker === channel.marker);
    const box = make("input", { type: "checkbox", checked: on, onchange: () => this.toggle(channel, box) });
    box.setAttribute("aria-label", `Show ${channel.name}`);
    const colour = make("input", { type: "color", value: marker?.colour ?? "#888888", disabled: !on, oninput: () => setColour(channel, colour.value) });
    colour.setAttribute("aria-label", `Colour of ${channel.name}`);
    const name = make("span", { class: "name", title: `${channel.name}${channel.uniprot ? `, ${channel.uniprot}` : ""}` }, channel.name);
    const key = make("span", { class: "key" }, number >= 0 && number < 8 ? String(number + 1) : channel.qc ? "" : "failed QC");
    const line = make("div", { class: on ? "channel" : "channel off" }, box, colour, name, key);
    if (on) line.append(make("div", { class: "more" }, ...this.contrast(channel)));
    return line;
  }

  toggle(channel, box) {
    if (!toggle(channel, box.checked)) {
      box.checked = false;
      this.onfull();
    }
  }

  contrast(channel) {
    const { found } = this;
    const canvas = make("canvas", { width: 268, height: 46, title: "Drag the ends: black and full colour. Double click: as at first." });
    const low = make("input", { type: "number", step: "any" });
    const high = make("input", { type: "number", step: "any" });
    const gamma = make("input", { type: "range", min: "0.2", max: "4", step: "0.05" });
    const set = (limits) => setLimits(found, channel, limits);
    canvas.repaint = () => {
      const [from, to, power] = limitsOf(found, channel);
      if (!low.matches(":focus")) low.value = brief(from);
      if (!high.matches(":focus")) high.value = brief(to);
      gamma.value = power;
      this.paint(canvas, channel, [from, to, power]);
    };
    low.onchange = () => set([Number(low.value), ...limitsOf(found, channel).slice(1)]);
    high.onchange = () => set([limitsOf(found, channel)[0], Number(high.value), limitsOf(found, channel)[2]]);
    gamma.oninput = () => set([...limitsOf(found, channel).slice(0, 2), Number(gamma.value)]);
    let end = null;
    const value = (event) => {
      const told = canvas.told;
      const box = canvas.getBoundingClientRect();
      return told.low + ((event.clientX - box.left) / box.width) * (told.high - told.low);
    };
    canvas.onpointerdown = (event) => {
      if (!canvas.told) return;
      canvas.setPointerCapture(event.pointerId);
      const [from, to] = limitsOf(found, channel);
      end = Math.abs(value(event) - from) < Math.abs(value(event) - to) ? 0 : 1;
      canvas.onpointermove(event);
    };
    canvas.onpointermove = (event) => {
      if (end === null) return;
      const limits = [...limitsOf(found, channel)];
      const least = (canvas.told.high - canvas.told.low) / 500;
      limits[end] = end === 0 ? Math.min(value(event), limits[1] - least) : Math.max(value(event), limits[0] + least);
      set(limits);
    };
    canvas.onpointerup = () => void (end = null);
    canvas.ondblclick = () => set(undefined);
    canvas.repaint();
    this.histogram(channel).then((told) => {
      canvas.told = told;
      canvas.repaint();
    }).catch(() => {});
    for (const [input, label] of [[low, "Black of"], [high, "Full colour of"], [gamma, "Gamma of"]]) input.setAttribute("aria-label", `${label} ${channel.name}`);
    return [canvas, make("label", {}, low, "to", high), make("label", {}, "gamma", gamma)];
  }

  // asked for once the limits are there, or have failed: browsers ask six things of a server at a time
  histogram(channel) {
    const { key, learning } = this.found;
    const name = `${key}/${channel.page}`;
    if (!this.histograms.has(name)) {
      const asked = Promise.resolve(learning).then(() => get(`api/images/${key}/histogram?page=${channel.page}`));
      asked.catch(() => this.histograms.delete(name));
      this.histograms.set(name, asked);
    }
    return this.histograms.get(name);
  }

  paint(canvas, channel, [low, high, gamma]) {
    const [width, height] = [canvas.clientWidth || canvas.width, canvas.clientHeight || canvas.height];
    const ratio = devicePixelRatio;
    Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const style = getComputedStyle(canvas);
    context.fillStyle = style.getPropertyValue("--raised");
    context.fillRect(0, 0, width, height);
    const told = canvas.told;
    if (!told) return;
    const most = Math.log1p(Math.max(...told.counts));
    const step = width / told.counts.length;
    context.fillStyle = style.getPropertyValue("--faint");
    told.counts.forEach((count, k) => {
      const tall = most ? (Math.log1p(count) / most) * (height - 4) : 0;
      context.fillRect(k * step, height - tall, Math.max(1, step - 0.5), tall);
    });
    const x = (value) => ((value - told.low) / (told.high - told.low || 1)) * width;
    context.strokeStyle = state.markers[channel.marker]?.colour ?? "#fff";
    context.lineWidth = 2;
    context.beginPath();
    for (let k = 0; k <= 40; k += 1) {
      const share = k / 40;
      const place = [x(low) + share * (x(high) - x(low)), height - 2 - share ** gamma * (height - 4)];
      if (k) context.lineTo(...place);
      else context.moveTo(...place);
    }
    context.moveTo(x(low), 0);
    context.lineTo(x(low), height);
    context.moveTo(x(high), 0);
    context.lineTo(x(high), height);
    context.stroke();
  }

  // the keys 1 to 8 hide and show what was shown
  key(number) {
    const channel = this.order?.[number - 1];
    if (!channel) return;
    const marker = state.markers[channel.marker];
    if (marker.on) toggle(channel, false);
    else toggle(channel, true);
  }
}

