"use strict";
// The node's page: fresh pictures, a checklist that follows, and drawing with mouse, pen or finger.
(() => {
  const csrf = document.querySelector('meta[name="csrf"]')?.content ?? "";
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));

  async function fetchPicture(url) {
    const answer = await fetch(url, { cache: "no-store" });
    if (answer.status === 403) { location.href = "/login"; throw new Error("logged out"); }
    if (!answer.ok) throw new Error((await answer.json()).error);
    return { blob: await answer.blob(), seen: JSON.parse(answer.headers.get("X-Seen")) };
  }

  // -- cameras and checklist ----------------------------------------------------------------------------------
  async function followThumb(image) {
    let last = "";
    for (;;) {
      if (!document.hidden) {
        try {
          const { blob } = await fetchPicture(image.dataset.live);
          if (last) URL.revokeObjectURL(last);
          image.src = last = URL.createObjectURL(blob);
        } catch { /* the checklist says what is wrong with it */ }
      }
      await wait(4000);
    }
  }
  async function followChecks(list) {
    for (;;) {
      await wait(3000);
      if (document.hidden || list.contains(document.activeElement)) continue;
      try {
        const answer = await fetch("/api/checklist", { cache: "no-store" });
        if (answer.status === 403) { location.href = "/login"; return; }
        const fresh = await answer.json();
        if (list.innerHTML !== fresh.html) list.innerHTML = fresh.html;
        document.getElementById("summary").textContent = fresh.summary;
      } catch { /* the node is away for a moment */ }
    }
  }
  document.querySelectorAll("img[data-live]").forEach(followThumb);
  const checks = document.getElementById("checks");
  if (checks) followChecks(checks);

  // -- drawing ------------------------------------------------------------------------------------------------
  const root = document.getElementById("editor");
  if (!root) return;
  const words = JSON.parse(root.dataset.words);
  const url = `/api/cameras/${root.dataset.camera}`;
  const byId = (id) => document.getElementById(id);
  const [canvas, svg, pane] = [byId("picture"), byId("overlay"), byId("pane")];
  const REACH = 24; // px around a corner: a target of 48
  const KEYS = { zone: "zones", line: "lines", region: "equipment" };
  const LEAST = { zone: 3, line: 3, region: 3 }; // a line is both its ends and a point on the inner side
  let shapes = [], revision = "", chosen = -1, tool = "", draft = [], grabbed = null, seen = null, dirty = false, size = [1, 1];

  const say = (sentence, element = byId("message")) => { element.textContent = sentence; element.hidden = !sentence; };
  const make = (name, attributes, parent = svg) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    parent.append(element);
    return element;
  };
  const px = ([x, y]) => [x * size[0], y * size[1]];
  const list = (points) => points.map((p) => px(p).map((v) => v.toFixed(1)).join(",")).join(" ");
  const middle = (points) => [0, 1].map((i) => points.reduce((sum, p) => sum + p[i], 0) / points.length);
  const near = (a, b) => Math.hypot(px(a)[0] - b[0], px(a)[1] - b[1]);
  function at(event) {
    const box = svg.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height].map((v) => Math.min(1, Math.max(0, v)));
  }

  // A shape: {kind, name, points, dwell, loiter}; a line's third point lies on its inner side.
  function load(drawn) {
    shapes = [
      ...drawn.zones.map((z) => ({ kind: "zone", name: z.name, points: z.polygon, dwell: z.dwell_s, loiter: z.loiter_s })),
      ...drawn.lines.map((l) => ({ kind: "line", name: l.name, points: [...l.points, l.inside] })),
      ...drawn.equipment.map((r) => ({ kind: "region", name: r.name, points: r.polygon })),
    ];
  }
  function collect() {
    const drawn = { zones: [], lines: [], equipment: [] };
    for (const s of shapes) {
      const name = s.name.trim();
      if (s.kind === "line") drawn.lines.push({ name, points: s.points.slice(0, 2), inside: s.points[2] });
      else if (s.kind === "region") drawn.equipment.push({ name, polygon: s.points });
      else {
        const zone = { name, polygon: s.points };
        if (s.dwell != null) zone.dwell_s = s.dwell;
        if (s.loiter != null) zone.loiter_s = s.loiter;
        drawn.zones.push(zone);
      }
    }
    return drawn;
  }
  function touched() { dirty = true; byId("save").disabled = Boolean(tool); say(words.unsaved); }

  function arrow(points) { // from the middle of the line towards the inner side
    const [a, b, inside] = points.map(px);
    const [mx, my] = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    const length = Math.hypot(b[0] - a[0], b[1] - a[1]) || 1;
    let [nx, ny] = [-(b[1] - a[1]) / length, (b[0] - a[0]) / length];
    if (nx * (inside[0] - mx) + ny * (inside[1] - my) < 0) [nx, ny] = [-nx, -ny];
    const [tx, ty] = [mx + nx * 34, my + ny * 34];
    return `M${mx},${my} L${tx},${ty} M${tx - nx * 12 - ny * 8},${ty - ny * 12 + nx * 8} L${tx},${ty} L${tx - nx * 12 + ny * 8},${ty - ny * 12 - nx * 8}`;
  }
  function render() {
    size = [svg.clientWidth || 1, svg.clientHeight || 1];
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${size[0]} ${size[1]}`);
    svg.classList.toggle("drawing", Boolean(tool));
    shapes.forEach((shape, index) => {
      const mark = `fill ${shape.kind}${index === chosen ? " chosen" : ""}${seen?.active.includes(shape.name) ? " active" : ""}`;
      if (shape.kind === "line") {
        make("polyline", { points: list(shape.points.slice(0, 2)), class: mark });
        make("path", { d: arrow(shape.points), class: mark });
      } else make("polygon", { points: list(shape.points), class: mark });
      if (index === chosen && !tool) for (const point of shape.points) grip(point);
      const [x, y] = px(middle(shape.kind === "line" ? shape.points.slice(0, 2) : shape.points));
      make("text", { x, y: y - 6, "text-anchor": "middle" }).textContent = shape.name || words.unnamed;
    });
    if (draft.length) {
      make("polyline", { points: list(draft), class: "draft" });
      draft.forEach(grip);
    }
    for (const [x1, y1, x2, y2, label, score] of seen?.boxes ?? []) {
      const [[x, y], [r, b]] = [px([x1, y1]), px([x2, y2])];
      make("rect", { x, y, width: r - x, height: b - y, class: "box" });
      make("text", { x, y: Math.max(16, y - 6) }).textContent = `${label} ${score.toFixed(2)}`;
    }
  }
  function grip(point) {
    const [cx, cy] = px(point);
    make("circle", { cx, cy, r: 8, class: "grip" });
    make("circle", { cx, cy, r: REACH, class: "target" });
  }

  function renderTools() {
    document.querySelectorAll("[data-tool]").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.tool === tool)));
    const polygon = tool && tool !== "line";
    byId("finish").hidden = !(polygon && draft.length >= LEAST[tool]);
    byId("undo").hidden = !draft.length;
    byId("cancel").hidden = !tool;
    byId("save").disabled = !dirty || Boolean(tool);
    const hint = !tool ? "hint_idle" : polygon ? "hint_polygon" : draft.length < 2 ? "hint_line" : "hint_inside";
    byId("hint").textContent = words[hint];
  }
  function field(label, value, type, set) {
    const box = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, { type, value: value ?? "", maxLength: 64 });
    if (type === "number") Object.assign(input, { min: 0, step: "any", inputMode: "decimal" });
    input.addEventListener("input", () => { set(input.value); touched(); render(); });
    box.append(label, input);
    return box;
  }
  function renderList() {
    byId("shapes").replaceChildren(...shapes.map((shape, index) => {
      const item = document.createElement("li");
      item.className = index === chosen ? "chosen" : "";
      const title = document.createElement("strong");
      title.textContent = words[shape.kind];
      item.append(title, field(words.name, shape.name, "text", (v) => { shape.name = v; }));
      if (shape.kind === "zone") {
        const row = document.createElement("div");
        row.className = "row";
        const number = (v) => (v === "" || Number.isNaN(Number(v)) ? null : Number(v));
        row.append(field(words.dwell, shape.dwell, "number", (v) => { shape.dwell = number(v); }),
          field(words.loiter, shape.loiter, "number", (v) => { shape.loiter = number(v); }));
        item.append(row);
      }
      const buttons = document.createElement("div");
      buttons.className = "buttons";
      const button = (label, act) => {
        const one = Object.assign(document.createElement("button"), { type: "button", textContent: label });
        one.addEventListener("click", (event) => { event.stopPropagation(); act(); });
        buttons.append(one);
      };
      if (shape.kind === "line") button(words.swap, () => {
        const [a, b, inside] = shape.points; // mirrored at the line's middle
        shape.points = [a, b, [0, 1].map((i) => Math.min(1, Math.max(0, a[i] + b[i] - inside[i])))];
        touched(); render();
      });
      button(words.remove, () => { shapes.splice(index, 1); chosen = -1; touched(); all(); });
      item.append(buttons);
      item.addEventListener("click", () => { if (chosen !== index) { chosen = index; mark(); render(); } });
      return item;
    }));
  }
  function mark() { [...byId("shapes").children].forEach((item, i) => item.classList.toggle("chosen", i === chosen)); }
  function all() { renderTools(); renderList(); render(); }

  function begin(name) { tool = tool === name ? "" : name; draft = []; chosen = -1; all(); }
  function complete() {
    const number = shapes.filter((s) => s.kind === tool).length + 1;
    shapes.push({ kind: tool, name: `${words[tool]} ${number}`, points: draft });
    chosen = shapes.length - 1; tool = ""; draft = []; touched(); all();
    byId("shapes").lastElementChild.querySelector("input").select();
  }
  function inside(points, [x, y]) {
    let found = false;
    for (let i = 0, j = points.length - 1; i < points.length; j = i++) {
      const [[ax, ay], [bx, by]] = [points[i], points[j]];
      if ((ay > y) !== (by > y) && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) found = !found;
    }
    return found;
  }
  svg.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary || event.button !== 0) return;
    event.preventDefault();
    const point = at(event), spot = px(point);
    if (tool) {
      if (tool !== "line" && draft.length >= LEAST[tool] && near(draft[0], spot) < REACH) { complete(); return; }
      draft.push(point);
      if (tool === "line" && draft.length === LEAST.line) { complete(); return; }
      grabbed = { points: draft, index: draft.length - 1 };
    } else {
      if (chosen >= 0) {
        const points = shapes[chosen].points;
        const distances = points.map((p) => near(p, spot));
        const index = distances.indexOf(Math.min(...distances));
        if (distances[index] < REACH) grabbed = { points, index, moved: true };
      }
      if (!grabbed) {
        const middles = shapes.map((s) => (s.kind === "line" ? near(middle(s.points.slice(0, 2)), spot) < 2 * REACH : inside(s.points, point)));
        chosen = middles.lastIndexOf(true);
        mark();
      }
    }
    if (grabbed) svg.setPointerCapture(event.pointerId);
    renderTools(); render();
  });
  svg.addEventListener("pointermove", (event) => {
    if (!grabbed) return;
    grabbed.points[grabbed.index] = at(event);
    if (grabbed.moved) touched();
    render();
  });
  for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => { grabbed = null; });
  document.querySelectorAll("[data-tool]").forEach((button) => button.addEventListener("click", () => begin(button.dataset.tool)));
  byId("finish").addEventListener("click", complete);
  byId("undo").addEventListener("click", () => { draft.pop(); renderTools(); render(); });
  byId("cancel").addEventListener("click", () => begin(tool));
  window.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && tool) begin(tool);
    if (event.key === "Enter" && !byId("finish").hidden && event.target === document.body) complete();
  });
  window.addEventListener("beforeunload", (event) => { if (dirty) event.preventDefault(); });
  new ResizeObserver(render).observe(pane);

  async function reload() {
    const answer = await (await fetch(`${url}/drawn`, { cache: "no-store" })).json();
    if (answer.error) { say(answer.error); return; }
    revision = answer.revision; dirty = false; tool = ""; draft = []; chosen = -1;
    load(answer.drawn); byId("reload").hidden = true; say(""); all();
  }
  byId("reload").addEventListener("click", reload);
  byId("save").addEventListener("click", async () => {
    byId("save").disabled = true;
    try {
      const answer = await fetch(`${url}/drawn`, {
        method: "PUT", headers: { "Content-Type": "application/json", "X-CSRF": csrf }, body: JSON.stringify({ revision, drawn: collect() }),
      });
      const body = await answer.json();
      if (!answer.ok) { say(`${words.not_saved} ${body.error}`); byId("reload").hidden = answer.status !== 409; byId("save").disabled = false; return; }
      revision = body.revision; dirty = false; load(body.drawn); all();
      say(body.applied ? words.saved : words.must_restart);
    } catch { say(`${words.not_saved} ${words.gone}`); byId("save").disabled = false; }
  });

  // -- the live picture ---------------------------------------------------------------------------------------
  async function follow() {
    for (;;) {
      if (!document.hidden) {
        try {
          const fresh = await fetchPicture(`${url}/picture`);
          const bitmap = await createImageBitmap(fresh.blob);
          if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
          canvas.getContext("2d").drawImage(bitmap, 0, 0);
          bitmap.close();
          seen = fresh.seen;
          const line = [seen.at, words.gate + seen.gate, words.boxes + seen.boxes.length];
          if (seen.active.length) line.push(`${words.alarms}${seen.active.map((name) => name || words.zone).join(", ")}`);
          if (seen.faults.length) line.push(`${words.faults}${seen.faults.join(", ")}`);
          byId("live").textContent = line.join(" · ");
        } catch (error) {
          byId("live").textContent = `${words.stale}${seen ? ` ${seen.at}` : ""} (${error.message})`;
          seen = seen && { ...seen, boxes: [], active: [] };
          await wait(1000);
        }
        render();
      }
      await wait(250);
    }
  }
  reload().then(follow);
})();
