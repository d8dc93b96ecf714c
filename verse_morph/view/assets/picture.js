// What every picture of the kernel shares: a canvas, the PNG below, the letters of its sides and its title.
function makePicture({ model, el, name, role, style, paint }) {
  const canvas = document.createElement("canvas");
  canvas.tabIndex = 0;
  canvas.setAttribute("role", role);
  canvas.style.cssText = "background:#000;cursor:crosshair;display:block;" + style;
  el.classList.add(name);
  el.appendChild(canvas);
  const image = new Image();
  let address = null;

  function load() {
    const bytes = model.get("png");
    if (!bytes || !bytes.byteLength) return;
    if (address) URL.revokeObjectURL(address);
    address = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
    image.src = address;
  }

  function draw() {
    const [width, height] = model.get("size_px");
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    canvas.setAttribute("aria-label", model.get("spoken"));
    const pen = canvas.getContext("2d");
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, width, height);
    if (image.complete && image.naturalWidth) pen.drawImage(image, 0, 0, width, height);
    pen.textBaseline = "middle";
    paint(pen, width, height);
    canvas.dataset.drawn = String(Number(canvas.dataset.drawn || 0) + 1);
  }

  image.onload = draw;
  model.on("change:png", load);
  model.on("change:title change:size_px change:spoken", draw);
  return { canvas, draw, start() { load(); draw(); } };
}

// Letters of the four sides and the title, by write(words, x, y); the upper letter stands at `top`.
function captions(model, pen, top, write) {
  const [width, height] = model.get("size_px");
  const [left, right, up, down] = model.get("letters");
  pen.font = "bold 13px sans-serif";
  pen.fillStyle = "#ffff99";
  write(left, 4, height / 2);
  write(right, width - 14, height / 2);
  write(up, width / 2 - 4, top);
  write(down, width / 2 - 4, height - 9);
  pen.font = "12px sans-serif";
  pen.fillStyle = "#fff";
  write(model.get("title"), 4, 10);
}
