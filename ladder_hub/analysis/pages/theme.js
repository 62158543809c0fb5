(() => {
  const root = document.documentElement, button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const show = dark => { root.dataset.theme = dark ? "dark" : "light"; button.setAttribute("aria-pressed", String(dark)); };
  let dark = system.matches;
  button.setAttribute("aria-pressed", String(dark));
  button.hidden = false;
  button.addEventListener("click", () => show(dark = !dark));
  system.addEventListener("change", event => { dark = event.matches; show(dark); });
})();
