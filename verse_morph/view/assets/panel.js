// One picture with a crosshair: a click, an arrow key or the wheel tells the kernel where to go.
function render({ model, el }) {
  const canvas = document.createElement("canvas");
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  canvas.style.cssText = "background:#000;max-width:100%;cursor:crosshair;display:block";
  el.classList.add("vm-panel");
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
    const cross = model.get("cross");
    if (cross.length === 2) {
      pen.strokeStyle = "#7dff8a";
      pen.lineWidth = 1;
      pen.beginPath();
      const [x, y] = [Math.round(cross[0] * width) + 0.5, Math.round(cross[1] * height) + 0.5];
      pen.moveTo(x, 0); pen.lineTo(x, y - 9); pen.moveTo(x, y + 9); pen.lineTo(x, height);
      pen.moveTo(0, y); pen.lineTo(x - 9, y); pen.moveTo(x + 9, y); pen.lineTo(width, y);
      pen.stroke();
    }
    pen.fillStyle = "#ffff99";
    pen.font = "bold 13px sans-serif";
    const [left, right, top, bottom] = model.get("letters");
    pen.textBaseline = "middle";
    pen.fillText(left, 4, height / 2);
    pen.fillText(right, width - 14, height / 2);
    pen.fillText(top, width / 2 - 4, 26);
    pen.fillText(bottom, width / 2 - 4, height - 9);
    pen.fillStyle = "#fff";
    pen.font = "12px sans-serif";
    pen.fillText(model.get("title"), 4, 10);
    canvas.dataset.drawn = String(Number(canvas.dataset.drawn || 0) + 1);
  }

  // Many moves of the pointer become one question at a time.
  let waiting = null, asked = false;
  function ask(message) {
    waiting = message;
    if (!asked) send();
  }
  function send() {
    if (!waiting) return;
    asked = true;
    model.send(waiting);
    waiting = null;
  }
  function answered() { asked = false; send(); }

  function point(event) {
    const box = canvas.getBoundingClientRect();
    ask({ at: [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height] });
  }
  canvas.onpointerdown = (event) => { canvas.setPointerCapture(event.pointerId); canvas.focus(); point(event); };
  canvas.onpointermove = (event) => { if (event.buttons & 1) point(event); };
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    ask({ step: [0, 0, event.deltaY > 0 ? -1 : 1] });
  }, { passive: false });
  const keys = { ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], ArrowUp: [0, -1, 0], ArrowDown: [0, 1, 0],
    PageUp: [0, 0, 1], PageDown: [0, 0, -1] };
  canvas.addEventListener("keydown", (event) => {
    if (!(event.key in keys)) return;
    event.preventDefault();
    event.stopPropagation();
    ask({ step: keys[event.key] });
  });

  image.onload = draw;
  model.on("change:png", load);
  model.on("change:cross change:title change:size_px", draw);
  model.on("change:answers", answered);
  load();
  draw();
}
export default { render };
