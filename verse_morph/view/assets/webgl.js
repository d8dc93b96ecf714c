// Tells the kernel where the page cannot draw in 3D.
function render({ model }) {
  const drawing = document.createElement("canvas").getContext("webgl2");
  if (drawing) drawing.getExtension("WEBGL_lose_context")?.loseContext();
  else { model.set("missing", true); model.save_changes(); }
}
export default { render };
