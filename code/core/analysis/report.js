const zoom = document.querySelector("dialog");
document.addEventListener("click", (event) => {
  const view = event.target.closest("button.view");
  if (view) {
    const close = document.createElement("button");
    close.textContent = "Close (Esc)";
    const small = view.firstElementChild, large = small.cloneNode();
    // As high as the window, but neither smaller than stored nor wider than two windows.
    const fitting = 0.8 * innerHeight * small.naturalWidth / small.naturalHeight;
    const least = Math.max(0.9 * innerWidth, small.naturalWidth);
    large.style.width = `${Math.min(Math.max(2 * innerWidth, 1600), Math.max(least, fitting))}px`;
    zoom.replaceChildren(close, large);
    zoom.showModal();
  } else if (event.target.closest("dialog")) zoom.close();
});
