"use strict";
// The controls of the page; what they show was computed beforehand and lies in window.SPINE.
function startPage(k3d) {
  const spine = window.SPINE;
  const at = (id) => document.getElementById(id);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const json = (id) => k3d.getWorld().ObjectsListJson[id];
  const kept = {};
  const levelOf = {};

  // Objects that are hidden leave the world's list: keep what they were.
  for (const [level, id] of Object.entries(spine.surfaces)) { kept[id] = json(id); levelOf[id] = level; }
  for (const things of Object.values(spine.layers)) for (const [, id] of things) kept[id] = json(id);
  for (const [id] of Object.values(spine.ct ? spine.ct.planes : {})) kept[id] = json(id);

  function change(id, changes) {
    const was = kept[id];
    if (!was) return Promise.resolve();
    const hidden = was.visible === false;
    Object.assign(was, changes);
    if (hidden && was.visible === false) return Promise.resolve();
    return k3d.reload(was, hidden && was.visible !== false ? null : changes);
  }

  // Many changes, one picture: software rendering takes its time.
  async function together(work) {
    k3d.setRenderOnChange(false);
    const waiting = [];
    work((id, changes) => waiting.push(change(id, changes)));
    await Promise.all(waiting);
    k3d.setRenderOnChange(true);
    k3d.render();
  }

  // The CT lies in the page as a mosaic of axial slices; a plane is cut from it when it is shown.
  const ct = spine.ct;
  let voxels = null;
  async function readCt() {
    const image = new Image();
    image.src = "data:image/png;base64," + ct.png;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.width, image.height];
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.drawImage(image, 0, 0);
    const [nx, ny, nz] = ct.shape;
    const found = new Uint8Array(nx * ny * nz);
    for (let z = 0; z < nz; z++) {
      const tile = pen.getImageData((z % ct.columns) * nx, Math.floor(z / ct.columns) * ny, nx, ny).data;
      for (let k = 0; k < nx * ny; k++) found[z * nx * ny + k] = tile[4 * k];
    }
    voxels = found;
  }

  function cutCt(plane) {
    const [, across, up, fixed] = ct.planes[plane];
    const steps = [1, ct.shape[0], ct.shape[0] * ct.shape[1]];
    const index = parseInt(sliderOf(plane).value);
    const [width, height] = [ct.shape[across], ct.shape[up]];
    const data = new Uint8Array(width * height);
    for (let row = 0; row < height; row++)
      for (let column = 0; column < width; column++)
        data[row * width + column] = voxels[row * steps[up] + column * steps[across] + index * steps[fixed]];
    const middle = ct.shape.map((n, axis) => (axis === fixed ? index : (n - 1) / 2));
    const a = ct.affine;
    const matrix = [0, 1, 2].flatMap((k) => [a[k][across] * width, a[k][up] * height, a[k][fixed],
      a[k][3] + middle[0] * a[k][0] + middle[1] * a[k][1] + middle[2] * a[k][2]]);
    return { attribute: { data, shape: [height, width] },
      model_matrix: { data: new Float32Array([...matrix, 0, 0, 0, 1]), shape: [4, 4] } };
  }

  const sliderOf = (plane) => all("input.ct-at").find((one) => one.name === plane);
  const boxOf = (plane) => all("input.ct").find((one) => one.value === plane);

  // A bare number would leave the reader to guess which way it counts.
  const sides = { sagittal: "RL", coronal: "AP", axial: "SI" };
  const sided = (plane, place) => `${sides[plane][place < 0 ? 1 : 0]} ${Math.abs(place).toFixed(0)} mm`;

  async function showCt(planes) {
    if (!voxels && planes.some((plane) => boxOf(plane).checked)) await readCt();
    // Vertebrae that are drawn apart are not where the CT shows them.
    const inPlace = parseFloat(at("apart").value) === 0;
    together((put) => {
      for (const plane of planes) {
        const slider = sliderOf(plane);
        slider.nextElementSibling.textContent = sided(plane, ct.places[plane][slider.value]);
        const visible = boxOf(plane).checked && inPlace;
        put(ct.planes[plane][0], visible ? { ...cutCt(plane), visible } : { visible });
      }
    });
  }

  function throughVertebra() {
    const here = ct.at[at("vertebra").value];
    for (const [plane, [, , , fixed]] of Object.entries(ct.planes)) sliderOf(plane).value = here[fixed];
    showCt(Object.keys(ct.planes));
  }

  const shown = (level) => level === "" || all("input.level").some((box) => box.value === level && box.checked);

  function showAll() {
    together((put) => {
      const setVisible = (id, visible) => {
        if (kept[id] && (kept[id].visible !== false) !== visible) put(id, { visible });
      };
      for (const [level, id] of Object.entries(spine.surfaces)) setVisible(id, shown(level));
      for (const box of all("input.layer"))
        for (const [level, id] of spine.layers[box.value]) setVisible(id, box.checked && shown(level));
    });
  }

  function colour() {
    const key = at("colour-by").value;
    together((put) => spine.levels.forEach((level, k) => {
      const id = spine.surfaces[level];
      if (id !== undefined) put(id, { color: parseInt(spine.colours[key][k].slice(1), 16) });
    }));
    at("key").innerHTML = spine.keys[key];
  }

  function opacity() {
    const value = parseFloat(at("opacity").value);
    together((put) => { for (const id of Object.values(spine.surfaces)) put(id, { opacity: value }); });
  }

  const places = {};
  let stretched = 1;
  function apart() {
    const share = parseFloat(at("apart").value);
    const move = (put, level, id) => {
      if (!kept[id]) return;
      const [x, y, z] = level === "" ? spine.middle.map((v) => -share * v) : spine.apart[level].map((v) => v * share);
      const s = level === "" ? 1 + share : 1;
      if (kept[id].type === "Text") {
        places[id] = places[id] || Array.from(kept[id].position.data);
        const data = Float32Array.from(places[id].map((v, k) => v + [x, y, z][k]));
        put(id, { position: { data, shape: [3] } });
      } else {
        const data = new Float32Array([s, 0, 0, x, 0, s, 0, y, 0, 0, s, z, 0, 0, 0, 1]);
        put(id, { model_matrix: { data, shape: [4, 4] } });
      }
    };
    together((put) => {
      for (const [level, id] of Object.entries(spine.surfaces)) move(put, level, id);
      for (const things of Object.values(spine.layers)) for (const [level, id] of things) move(put, level, id);
    });
    // Step back by as much, looking the same way.
    look(k3d.getWorld().controls.getCameraArray(), (1 + share) / stretched);
    if (ct && (share > 0) !== (stretched > 1)) showCt(Object.keys(ct.planes));
    stretched = 1 + share;
  }

  function look(camera, farther) {
    const place = camera.slice(0, 3).map((v, k) => camera[k + 3] + (v - camera[k + 3]) * farther);
    k3d.setCamera([...place, ...camera.slice(3)]);
  }

  function angle() {
    const upper = at("upper").value;
    const words = spine.angles[`${upper} ${at("lower").value} ${at("plane").value}`];
    at("angle").textContent = upper ? words || "choose a lower level below the upper one" : "";
  }

  function numbers() { at("numbers").innerHTML = spine.numbers[at("vertebra").value]; }

  function tick(value) {
    for (const box of all("input.level")) box.checked = value;
    showAll();
  }

  at("colour-by").onchange = colour;
  at("opacity").oninput = opacity;
  at("apart").oninput = apart;
  at("vertebra").onchange = numbers;
  at("all").onclick = () => tick(true);
  at("none").onclick = () => tick(false);
  for (const id of ["upper", "lower", "plane"]) at(id).onchange = angle;
  for (const box of all("input.level, input.layer")) box.onchange = showAll;
  for (const button of all("button.camera")) button.onclick = () => look(spine.cameras[button.value], stretched);
  k3d.setViewMode("callback");
  k3d.on(k3d.events.OBJECT_CLICKED, (hit) => {
    const id = hit && (hit.K3DIdentifier !== undefined ? hit.K3DIdentifier : hit.object && hit.object.K3DIdentifier);
    if (levelOf[id]) { at("vertebra").value = levelOf[id]; numbers(); }
  });
  new ResizeObserver(() => k3d.resizeHelper && k3d.resizeHelper()).observe(at("canvasTarget"));
  at("vertebra").value = spine.first;
  colour();
  numbers();
  if (ct) {
    for (const box of all("input.ct")) box.onchange = () => showCt([box.value]);
    for (const slider of all("input.ct-at")) slider.oninput = () => showCt([slider.name]);
    at("ct-through").onclick = throughVertebra;
    throughVertebra();
  }
  window.page = { k3d, ready: true };
}

// Without WebGL nothing else of the page starts: the numbers do.
(() => {
  const drawing = document.createElement("canvas").getContext("webgl2");
  if (drawing) { drawing.getExtension("WEBGL_lose_context")?.loseContext(); return; }
  const at = (id) => document.getElementById(id);
  const numbers = () => { at("numbers").innerHTML = window.SPINE.numbers[at("vertebra").value]; };
  at("no-webgl").hidden = false;
  for (const control of document.querySelectorAll("#controls :is(input, select, button)")) control.disabled = true;
  at("vertebra").onchange = numbers;
  at("vertebra").value = window.SPINE.first;
  numbers();
})();
