// One picture with a crosshair: a click, an arrow key or the wheel tells the kernel where to go.
function render({ model, el }) {
  const { canvas, draw, start } = makePicture({
    model, el, name: "vm-panel", role: "img", style: "max-width:100%",
    paint(pen, width, height) {
      crosshair(pen, width, height);
      names(pen, height);
      captions(model, pen, 26, (words, x, y) => pen.fillText(words, x, y));
    },
  });

  function crosshair(pen, width, height) {
    const cross = model.get("cross");
    if (cross.length !== 2) return;
    pen.strokeStyle = "#7dff8a";
    pen.lineWidth = 1;
    pen.beginPath();
    const [x, y] = [Math.round(cross[0] * width) + 0.5, Math.round(cross[1] * height) + 0.5];
    pen.moveTo(x, 0); pen.lineTo(x, y - 9); pen.moveTo(x, y + 9); pen.lineTo(x, height);
    pen.moveTo(0, y); pen.lineTo(x - 9, y); pen.moveTo(x + 9, y); pen.lineTo(width, y);
    pen.stroke();
  }

  function names(pen, height) {
    pen.font = "12px sans-serif";
    pen.lineWidth = 3;
    pen.strokeStyle = "#000";
    pen.fillStyle = "#fff";
    for (const [words, share] of model.get("marks")) {
      pen.strokeText(words, 20, share * height);
      pen.fillText(words, 20, share * height);
    }
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

  model.on("change:cross change:marks", draw);
  model.on("change:answers", answered);
  start();
}
export default { render };
