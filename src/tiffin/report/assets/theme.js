// Light and dark, as the system has it or as the button says.

const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");
let chosenTheme = null;
const isDark = () => (chosenTheme ?? (system.matches ? "dark" : "light")) === "dark";

/** Show the theme now, and at each change; then draw again what has its colours. */
function startTheme(drawAgain = () => {}) {
  const show = () => {
    root.dataset.theme = isDark() ? "dark" : "light";
    at("theme").textContent = isDark() ? "☀ Light" : "☾ Dark";
    at("theme").setAttribute("aria-label", `Use the ${isDark() ? "light" : "dark"} theme`);
    drawAgain();
  };
  at("theme").addEventListener("click", () => {
    chosenTheme = isDark() ? "light" : "dark";
    show();
  });
  system.addEventListener("change", show);
  show();
}
