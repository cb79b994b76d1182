// The viewer in a notebook: what the page asks of its server is asked of the kernel, the page's own modules too.

const SILENT = 3000;  // ms without an answer, after which that is said

// requests as messages, each answered by one with the same id; several outputs of a widget hear all answers
function kernel(model, silent) {
  const own = Math.random().toString(36).slice(2);
  const waiting = new Map();
  let last = performance.now();
  const heard = ({ id, status, headers }, buffers) => {
    const answer = waiting.get(id);
    waiting.delete(id);
    last = performance.now();
    silent(false);
    answer?.(new Response(status === 204 ? null : buffers[0], { status, headers }));
  };
  model.on("msg:custom", heard);
  return {
    send: (method, path, body) => new Promise((answer) => {
      const id = `${own}/${waiting.size}/${Math.random()}`;
      waiting.set(id, answer);
      setTimeout(() => waiting.has(id) && performance.now() - last >= SILENT && silent(true), SILENT + 1);
      model.send({ id, method, path, body });
    }),
    end: () => {
      waiting.clear();
      model.off("msg:custom", heard);
      model.send({ gone: true });  // the kernel holds nothing for an output that is not there
    },
  };
}

// modules are told apart for every output: each has channels and a place of its own
function importer(send) {
  const addresses = new Map();
  const text = async (name) => (await send("GET", name)).text();
  const address = (name) => {
    if (!addresses.has(name)) addresses.set(name, text(name).then(async (source) => {
      const others = [...source.matchAll(/ from "\.\/([a-z]+\.js)"/g)];
      const found = await Promise.all(others.map(([, other]) => address(other)));
      others.forEach(([whole], k) => (source = source.replace(whole, ` from "${found[k]}"`)));
      return URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    }));
    return addresses.get(name);
  };
  return { text, load: async (name) => import(await address(name)), end: () => addresses.forEach((found) => found.then(URL.revokeObjectURL)) };
}

const isLight = () => {
  const { dataset, classList } = document.body;
  if (dataset.jpThemeLight) return dataset.jpThemeLight === "true";
  if (classList.contains("vscode-light") || classList.contains("vscode-dark")) return classList.contains("vscode-light");
  return matchMedia("(prefers-color-scheme: light)").matches;
};

async function render({ model, el }) {
  const root = el.attachShadow({ mode: "open" });
  const note = document.createElement("p");
  note.hidden = true;
  note.textContent = "The kernel has not answered yet: it may be busy. Where the notebook was opened again, or its kernel restarted, run the cell again.";
  root.append(note);
  const { send, end } = kernel(model, (silent) => void (note.hidden = !silent));
  const modules = importer(send);
  const names = ["api", "channels", "dom", "side", "viewer"];
  const [css, ...loaded] = await Promise.all([modules.text("page.css"), ...names.map((name) => modules.load(`${name}.js`))]);
  const [{ sendOver }, { Channels }, { make }, { Images, showCell }, { Viewer }] = loaded;
  sendOver(send);
  const box = (id) => make("div", { id });
  const [channels, images, cell] = [box("channels"), box("images"), make("div", { id: "cell", class: "faint" }, "Point at a cell.")];
  const part = (title, inner) => make("details", { open: true }, make("summary", {}, title), inner);
  const view = make("section", { id: "viewer", class: "view shown" });
  const main = make("main", { tabIndex: 0 }, view,
    make("aside", {}, part("Channels", channels), part("Images", images), part("Under the pointer", cell)));
  main.style.cssText = `height: ${model.get("height")}px; background: var(--paper); color: var(--ink); font: 14px/1.4 system-ui, sans-serif; grid-template-rows: minmax(0, 1fr)`;
  root.append(make("style", {}, css.replaceAll(":root", ":host")), main);
  el.dataset.lmSuppressShortcuts = "true";
  const told = new Channels(channels, { onfull: () => {} });
  told.fill();
  const follow = () => {
    main.dataset.theme = isLight() ? "light" : "dark";
    told.refresh();
  };
  const theme = new MutationObserver(follow);
  theme.observe(document.body, { attributeFilter: ["class", "data-jp-theme-light"] });
  follow();
  const viewer = new Viewer(view, { onpoint: (found) => showCell(cell, found) });
  new Images(images, { onopen: (key, shift) => viewer.open(key, { beside: shift }) });
  main.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.target !== main || event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^[1-8]$/.test(event.key)) told.key(Number(event.key));
    else if (!viewer.key(event)) return;
    event.preventDefault();
  });
  view.addEventListener("pointerdown", () => main.focus({ preventScroll: true }));
  el.viewer = viewer;
  await viewer.open(model.get("first"));
  return () => {
    theme.disconnect();
    viewer.end();
    modules.end();
    end();
  };
}

export default { render };
