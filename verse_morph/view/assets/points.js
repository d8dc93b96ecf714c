// A projection of the scan with one dot per vertebra: dots are dragged here, and what became of them is told to the kernel.
function render({ model, el }) {
  let held = null;
  const { canvas, draw, start } = makePicture({
    model, el, name: "vm-points", role: "application", style: "touch-action:none",
    paint(pen, width, height) {
      const write = (words, x, y) => outlined(pen, words, x, y);
      for (const dot of model.get("dots")) mark(pen, dot, width, height, write);
      captions(model, pen, 10, write);
    },
  });

  function outlined(pen, words, x, y) {
    pen.lineWidth = 3;
    pen.strokeStyle = "#000";
    pen.strokeText(words, x, y);
    pen.fillText(words, x, y);
  }

  function mark(pen, dot, width, height, write) {
    const at = held && held.key === dot.key ? held.at : dot.at;
    const [x, y] = [at[0] * width, at[1] * height];
    const chosen = dot.key === model.get("chosen");
    pen.beginPath();
    pen.arc(x, y, chosen ? 7 : 4.5, 0, 2 * Math.PI);
    pen.fillStyle = dot.colour;
    pen.fill();
    pen.lineWidth = chosen ? 3 : 1.5;
    pen.strokeStyle = chosen ? "#fff" : "#000";
    pen.stroke();
    pen.font = (chosen ? "bold 14px" : "bold 12px") + " sans-serif";
    pen.fillStyle = "#fff";
    write(dot.name + (dot.changed ? " *" : ""), x + 11, y);
  }

  function share(event) {
    const box = canvas.getBoundingClientRect();
    const inside = (value) => Math.min(1, Math.max(0, value));
    return [inside((event.clientX - box.left) / box.width), inside((event.clientY - box.top) / box.height)];
  }
  function nearest(at) {
    const [width, height] = model.get("size_px");
    let best = null, least = 18;
    for (const dot of model.get("dots")) {
      const away = Math.hypot((dot.at[0] - at[0]) * width, (dot.at[1] - at[1]) * height);
      if (away < least) [best, least] = [dot, away];
    }
    return best;
  }

  canvas.onpointerdown = (event) => {
    canvas.focus();
    const at = share(event), dot = nearest(at);
    if (!dot) return;
    canvas.setPointerCapture(event.pointerId);
    held = { key: dot.key, at: dot.at, from: at, start: dot.at, moved: false };
    model.send({ pick: dot.key });
  };
  canvas.onpointermove = (event) => {
    if (!held || held.dropped) return;
    const at = share(event), [width, height] = model.get("size_px");
    const away = [at[0] - held.from[0], at[1] - held.from[1]];
    // A click chooses; only a drag of more than 2 pixels moves.
    if (!held.moved && Math.hypot(away[0] * width, away[1] * height) < 2) return;
    held.moved = true;
    held.at = [held.start[0] + away[0], held.start[1] + away[1]];
    draw();
  };
  canvas.onpointerup = () => {
    if (!held) return;
    if (!held.moved) { held = null; return; }
    held.dropped = true;
    model.send({ drop: held.key, at: held.at });
  };
  canvas.onpointercancel = () => { held = null; draw(); };
  canvas.ondblclick = (event) => {
    const at = share(event);
    if (!nearest(at)) model.send({ add: at });
  };
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    const far = event.shiftKey ? 5 : 1, command = event.ctrlKey || event.metaKey;
    let said = null;
    if (event.key in steps) said = { nudge: steps[event.key].map((step) => step * far) };
    else if (event.key === "PageDown") said = { next: 1 };
    else if (event.key === "PageUp") said = { next: -1 };
    else if (event.key === "Delete") said = { remove: true };
    else if (command && event.key.toLowerCase() === "z") said = event.shiftKey ? { redo: true } : { undo: true };
    else if (command && event.key.toLowerCase() === "y") said = { redo: true };
    if (!said) return;
    event.preventDefault();
    event.stopPropagation();
    model.send(said);
  });

  // The answer to the first press may come while the dot is still being dragged: it stays in the hand until dropped.
  function renewed() {
    if (held && held.dropped) held = null;
    draw();
  }
  model.on("change:dots change:answers", renewed);
  model.on("change:chosen", draw);
  start();
}
export default { render };
