// Points with axes; a click, a box drawn with the pointer or the arrow keys choose some, and the kernel is told which.
function render({ model, el }) {
  const canvas = document.createElement("canvas");
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.style.cssText = "display:block;cursor:crosshair;touch-action:none;max-width:100%";
  el.classList.add("vm-scatter");
  el.appendChild(canvas);
  const [width, height, left, bottom, margin] = [620, 380, 62, 46, 14];
  canvas.width = width;
  canvas.height = height;
  let box = null;

  const across = (share) => left + share * (width - left - margin);
  const down = (share) => height - bottom - share * (height - bottom - margin);

  // Shapes differ as well as colours.
  const shapes = [
    (pen, x, y, r) => pen.arc(x, y, r, 0, 2 * Math.PI),
    (pen, x, y, r) => pen.rect(x - r, y - r, 2 * r, 2 * r),
    (pen, x, y, r) => { pen.moveTo(x, y - 1.3 * r); pen.lineTo(x + 1.2 * r, y + r); pen.lineTo(x - 1.2 * r, y + r); pen.closePath(); },
  ];

  function draw() {
    const pen = canvas.getContext("2d");
    const chosen = new Set(model.get("chosen"));
    canvas.setAttribute("aria-label", model.get("spoken"));
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, width, height);
    pen.strokeStyle = "#666";
    pen.lineWidth = 1;
    pen.strokeRect(left, margin, width - left - margin, height - bottom - margin);
    pen.fillStyle = "#111";
    pen.font = "12px sans-serif";
    pen.textAlign = "center";
    for (const [share, text] of model.get("ticks_x")) pen.fillText(text, across(share), height - bottom + 16);
    pen.fillText(model.get("title_x"), (left + width) / 2, height - 8);
    pen.textAlign = "right";
    for (const [share, text] of model.get("ticks_y")) pen.fillText(text, left - 6, down(share) + 4);
    pen.save();
    pen.translate(13, (height - bottom) / 2);
    pen.rotate(-Math.PI / 2);
    pen.textAlign = "center";
    pen.fillText(model.get("title_y"), 0, 0);
    pen.restore();
    for (const dot of [...model.get("dots")].sort((a, b) => chosen.has(a.row) - chosen.has(b.row))) {
      pen.beginPath();
      shapes[dot.shape % shapes.length](pen, across(dot.at[0]), down(dot.at[1]), chosen.has(dot.row) ? 6 : 4);
      pen.fillStyle = dot.colour;
      pen.globalAlpha = chosen.size && !chosen.has(dot.row) ? 0.45 : 1;
      pen.fill();
      pen.globalAlpha = 1;
      pen.lineWidth = chosen.has(dot.row) ? 2.5 : 0.7;
      pen.strokeStyle = "#000";
      pen.stroke();
    }
    const marked = model.get("dots").find((dot) => dot.row === model.get("marked"));
    if (marked) {
      pen.beginPath();
      pen.arc(across(marked.at[0]), down(marked.at[1]), 11, 0, 2 * Math.PI);
      pen.lineWidth = 2;
      pen.stroke();
    }
    if (box) {
      pen.setLineDash([5, 4]);
      pen.lineWidth = 1.5;
      pen.strokeRect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
      pen.setLineDash([]);
    }
    canvas.dataset.drawn = String(Number(canvas.dataset.drawn || 0) + 1);
  }

  function at(event) {
    const frame = canvas.getBoundingClientRect();
    return [(event.clientX - frame.left) * width / frame.width, (event.clientY - frame.top) * height / frame.height];
  }
  canvas.onpointerdown = (event) => {
    canvas.focus();
    canvas.setPointerCapture(event.pointerId);
    box = [...at(event), ...at(event)];
  };
  canvas.onpointermove = (event) => {
    if (!box) return;
    [box[2], box[3]] = at(event);
    draw();
  };
  canvas.onpointerup = () => {
    if (!box) return;
    const [x0, x1] = [Math.min(box[0], box[2]), Math.max(box[0], box[2])];
    const [y0, y1] = [Math.min(box[1], box[3]), Math.max(box[1], box[3])];
    const small = x1 - x0 < 4 && y1 - y0 < 4;
    let found = [], least = 14;
    for (const dot of model.get("dots")) {
      const [x, y] = [across(dot.at[0]), down(dot.at[1])];
      if (!small && x >= x0 && x <= x1 && y >= y0 && y <= y1) found.push(dot.row);
      const away = Math.hypot(x - x0, y - y0);
      if (small && away < least) [found, least] = [[dot.row], away];
    }
    box = null;
    draw();
    model.send({ choose: found });
  };
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const rows = model.get("dots").map((dot) => dot.row);
    if (!rows.length) return;
    const now = rows.indexOf(model.get("chosen")[0]);
    model.send({ choose: [rows[(now + step + rows.length) % rows.length]] });
  });
  model.on("change", draw);
  draw();
}
export default { render };
